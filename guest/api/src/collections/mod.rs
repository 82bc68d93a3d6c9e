//! Collections: those of `alloc`, and hash tables whose hash is keyed at random.
//!
//! ```no_run
//! # fn example() {
//! use toro::collections::HashMap;
//!
//! let mut ages = HashMap::new();
//! ages.insert("Toro", 1);
//! assert_eq!(ages.get("Toro"), Some(&1));
//! # }
//! ```

mod hash_map;
mod hash_set;
mod random_state;

pub use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap, LinkedList, TryReserveError, VecDeque};
pub use alloc::collections::{binary_heap, btree_map, btree_set, linked_list, vec_deque};
pub use hash_map::{Entry, HashMap};
pub use hash_set::HashSet;
pub use random_state::RandomState;
