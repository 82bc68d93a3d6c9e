//! A device that cuts long segments: what is handed to it is worth it, and what comes out of it is what would have been sent.

use crate::world::{CLIENT, Family, MILLISECOND_NS, SERVER, Weather, World, config, large_config, pattern};
use std::cell::Cell;
use std::rc::Rc;
use toro_netstack::{Config, Error, LinkConfig, TcpOption};

fn cutting(config: Config) -> Config {
    let most = (16 << 10) - 26;
    let link = LinkConfig { checksum_offload: true, large_bytes_max: most, large_bytes_max6: most, ..config.link };
    Config { link, ..config }
}

#[test]
fn long_segments_are_cut_and_nothing_else_changes() {
    for (seed, lost, family) in [
        (0, 0, Family::Four),
        (1, 20, Family::Four),
        (2, 20, Family::Four),
        (3, 50, Family::Four),
        (0, 0, Family::Six),
        (1, 20, Family::Six),
    ] {
        let weather = Weather { lost, repeated: lost / 2, delayed: lost, ..Weather::default() };
        let mut world = World::of(family, cutting(large_config(CLIENT)), large_config(SERVER)).seed(seed, weather);
        world.latency_ns = MILLISECOND_NS;
        let listener = world.listen(80, 4);
        let (client, server) = world.connect(listener, 80);
        let longest = Rc::new(Cell::new(0));
        let seen = Rc::clone(&longest);
        world.loses = Some(Box::new(move |_, frame| {
            seen.set(seen.get().max(frame.len()));
            false
        }));
        let data = pattern(4 << 20);
        assert!(world.transfer((CLIENT, client), (SERVER, server), &data) == data, "seed {seed}");
        assert!(world.transfer((SERVER, server), (CLIENT, client), &data) == data, "seed {seed}");
        let cut = world.ports[CLIENT].cut;
        // Eleven segments a frame at best; on a bad wire the window is small.
        assert!(cut >= if lost == 0 { 250 } else { 20 }, "seed {seed}: {cut}");
        assert_eq!((longest.get(), world.ports[SERVER].cut), (1514, 0));
        world.close(client, server);
    }
}

#[test]
fn a_short_rest_waits_for_more_unless_it_may_not() {
    for no_delay in [false, true] {
        let mut world = World::with(cutting(config(CLIENT)), config(SERVER));
        let listener = world.listen(80, 4);
        let (client, server) = world.connect(listener, 80);
        let now_ns = world.now_ns;
        world.stacks[CLIENT].tcp_set(client, TcpOption::NoDelay(no_delay), now_ns).unwrap();
        let sizes = Rc::new(std::cell::RefCell::new(Vec::new()));
        let seen = Rc::clone(&sizes);
        world.loses = Some(Box::new(move |from, frame| {
            if from == CLIENT && frame.len() > 100 {
                seen.borrow_mut().push(frame.len() - 66);
            }
            false
        }));
        // Two whole segments and a rest.
        assert_eq!(world.stacks[CLIENT].tcp_write(client, &[1; 3000]), Ok(3000));
        world.stacks[CLIENT].flush(&mut world.ports[CLIENT], now_ns);
        let cut = world.ports[CLIENT].cut;
        world.run_until(100 * MILLISECOND_NS, |world| {
            let mut buffer = [0; 4000];
            world.stacks[SERVER].tcp_read(server, &mut buffer) == Err(Error::WouldBlock) && sizes.borrow().len() == 3
        });
        assert_eq!((*sizes.borrow()).as_slice(), [1448, 1448, 104]);
        assert_eq!(cut, 1, "the rest goes along, or by itself");
    }
}
