//! Hash tables: `std`'s ways to make and use them, and a key of their own in each boot.
#![no_std]
#![no_main]

use toro::collections::{BTreeMap, HashMap, HashSet};
use toro::prelude::*;

toro::main!(main);

fn main() {
    let mut squares: HashMap<u32, u32> = (0..1000).map(|number| (number, number * number)).collect();
    assert_eq!((squares.len(), squares[&31], squares.get(&1000)), (1000, 961, None));
    squares.retain(|number, _| number % 2 == 0);
    *squares.entry(2).or_insert(0) += 1;
    squares.extend([(1, 1)]);
    let sorted: BTreeMap<_, _> = squares.iter().filter(|(number, _)| **number < 5).collect();
    println!("{sorted:?}");

    let colours = HashMap::from([("red", 1), ("green", 2), ("blue", 3)]);
    let mut names: Vec<_> = colours.clone().into_keys().collect();
    names.sort_unstable();
    println!("{names:?} {}", colours == colours.clone());

    let seen: HashSet<_> = [3, 1, 3].into();
    println!("{} {}", seen.len(), seen.contains(&1));
    let order: Vec<String> = (0..16).collect::<HashSet<u32>>().iter().map(u32::to_string).collect();
    println!("order {}", order.join(" "));
}
