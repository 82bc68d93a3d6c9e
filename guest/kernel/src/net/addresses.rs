//! The addresses that this machine has, who may be asked for names, and what can still come of both.
//!
//! Core 0 asks for them, by DHCP and of routers; other cores hear of them, and name servers are asked for there.

use super::{BEGINNING, NETWORKS, Network, begun, here, reach};
use crate::arch::cores::CoreId;
use crate::arch::{depth, time};
use crate::console;
use crate::sched::WaitOutcome;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use toro_abi::control::Control;
use toro_abi::network::Address6 as Choice6;
use toro_netstack::{Address, Address6, Event, State6};

impl Network {
    /// Listens to routers, or takes what somebody chose.
    pub(super) fn begin_ipv6(&mut self, link: usize, choice: Choice6, gateway: Option<Ipv6Addr>) {
        let now_ns = time::now_ns();
        match choice {
            Choice6::Auto => {
                if !self.stack.start_ipv6(link, now_ns) {
                    log::warn!("eth{link} carries less than IPv6 needs, which is not used there");
                }
            }
            Choice6::None => {}
            Choice6::Static { ip, prefix } => {
                if !self.stack.add_address6(link, ip, prefix, now_ns) {
                    log::error!("{ip}/{prefix} cannot be the address of a machine; IPv6 is not used on eth{link}");
                } else if let Some(gateway) = gateway.filter(|ip| !self.stack.add_router6(link, *ip, now_ns)) {
                    log::error!("{gateway} cannot be the gateway");
                }
            }
        }
    }

    /// Our address of IPv6 on a link that others can know: not one of the link alone.
    fn address6_on(&self, link: usize) -> Option<Address6> {
        let mut known = self.stack.addresses6(link).filter(|own| !own.ip.is_unicast_link_local());
        known.find(|own| own.state != State6::Deprecated)
    }

    /// The same, of the first link that has one.
    fn address6(&self) -> Option<Address6> {
        (0..self.stack.links()).find_map(|link| self.address6_on(link))
    }

    /// Name servers, as far as they have been named: on the core that asks for addresses.
    fn name_servers(&self) -> impl Iterator<Item = IpAddr> {
        let addresses = (0..self.stack.links()).filter_map(|link| self.stack.address_on(link));
        let v4 = addresses.flat_map(|address| address.dns).flatten();
        v4.map(IpAddr::V4).chain(self.stack.name_servers6().map(IpAddr::V6))
    }

    /// Whether an address of that family may still come.
    fn may_come(&self, v4: bool, now_ns: u64) -> bool {
        if v4 {
            self.asks.links.iter().any(|link| self.stack.address_on(*link).is_none())
        } else {
            now_ns < self.asks.until6_ns && self.address6().is_none()
        }
    }
}

/// Our address, once there is one.
#[must_use]
pub fn address() -> Option<Address> {
    let _kernel = depth::enter();
    here(|_, network| network.stack.address())
}

/// The address that we would speak to another from; `None` when there is no way to it.
#[must_use]
pub fn source_for(remote: IpAddr) -> Option<IpAddr> {
    let _kernel = depth::enter();
    here(|_, network| network.stack.source_for(remote))
}

/// Name servers, as DHCP and routers have named them.
#[must_use]
pub fn name_servers() -> Vec<IpAddr> {
    let _kernel = depth::enter();
    // The core that asks for addresses knows them for all.
    reach(CoreId::BOOT, |network, _| network.name_servers().collect())
}

/// Domains in which short names are looked for, as DHCP has named them, or else routers.
#[must_use]
pub fn search_domains() -> Vec<String> {
    let _kernel = depth::enter();
    reach(CoreId::BOOT, |network, _| {
        let named: Vec<String> = network.stack.search_domains().map(String::from).collect();
        if named.is_empty() { network.stack.domains6().map(String::from).collect() } else { named }
    })
}

/// Waits for an address of any family; `false` when none has come until `deadline_ns`, or none will.
pub fn wait_for_address(deadline_ns: Option<u64>) -> bool {
    let _kernel = depth::enter();
    wait_for(here(|core, _| core), deadline_ns, |network, now_ns| {
        let has_one = network.stack.address().is_some() || network.address6().is_some();
        let waits = network.may_come(true, now_ns) || network.may_come(false, now_ns);
        (has_one || !waits).then_some(has_one)
    })
}

/// Waits until DHCP or a router has had its chance to name name servers; `false` when none has until `deadline_ns`.
pub fn wait_for_name_servers(deadline_ns: Option<u64>) -> bool {
    let _kernel = depth::enter();
    wait_for(CoreId::BOOT, deadline_ns, |network, now_ns| {
        let has_some = network.name_servers().next().is_some();
        let waits = network.may_come(true, now_ns) || network.may_come(false, now_ns);
        (has_some || !waits).then_some(has_some)
    })
}

/// Waits for a way to another machine; `false` when there is none until `deadline_ns`, and none can be expected.
pub(crate) fn wait_for_way(remote: IpAddr, deadline_ns: Option<u64>) -> bool {
    wait_for(here(|core, _| core), deadline_ns, |network, now_ns| {
        let has_one = network.stack.source_for(remote).is_some();
        (has_one || !network.may_come(remote.to_canonical().is_ipv4(), now_ns)).then_some(has_one)
    })
}

/// Waits until addresses are as somebody wants them, as that core knows them.
fn wait_for(core: CoreId, deadline_ns: Option<u64>, mut answer: impl FnMut(&Network, u64) -> Option<bool>) -> bool {
    // Then it is known that there is no router.
    let mut alarm_ns = reach(core, |network, _| Some(network.asks.until6_ns).filter(|at_ns| *at_ns > time::now_ns()));
    loop {
        let until_ns = deadline_ns.into_iter().chain(alarm_ns).min();
        let waited = NETWORKS[core.index()].0.wait(
            |network| &mut begun(network).sockets.address,
            until_ns,
            |network, _| answer(begun(network), time::now_ns()),
        );
        match waited {
            Ok(answer) => return answer,
            Err(WaitOutcome::TimedOut) if alarm_ns.is_some() && until_ns == alarm_ns => alarm_ns = None,
            Err(WaitOutcome::TimedOut) => return false,
            Err(WaitOutcome::Woken) => {}
        }
    }
}

/// Tells host and log about our addresses and links. The core that asks for them, and hears of them, speaks for all.
pub(super) fn announce(core: CoreId, event: Event) {
    match event {
        _ if core != CoreId::BOOT => {}
        Event::Address(link, address) => announce_v4(link, address),
        Event::Link(link, true) => log::warn!("the link of eth{link} is up again"),
        Event::Link(link, false) => log::warn!("the link of eth{link} is down"),
        _ => {}
    }
}

fn announce_v4(link: usize, address: Option<Address>) {
    BEGINNING.with(|beginning| {
        if let Some(beginning) = beginning {
            beginning.addresses[link] = address;
        }
    });
    match address {
        Some(Address { ip, prefix_bits, gateway, .. }) => {
            tell_of(link, ip.into(), prefix_bits, gateway.map(IpAddr::from));
        }
        None => log::warn!("eth{link}: the address was lost; asking for another"),
    }
}

/// The same about our addresses of IPv6, as far as they are others than before.
pub(super) fn announce6(core: CoreId) {
    if core != CoreId::BOOT {
        return;
    }
    for link in 0..reach(core, |network, _| network.stack.links()) {
        let (news, gateway) = reach(core, |network, _| {
            let address = network.address6_on(link);
            let ip = address.map(|own| own.ip);
            let is_new = core::mem::replace(&mut network.told6[link], ip) != ip;
            (is_new.then_some(address), network.stack.routers6(link).next())
        });
        match news {
            Some(Some(Address6 { ip, prefix_bits, .. })) => {
                tell_of(link, ip.into(), prefix_bits, gateway.map(IpAddr::from));
            }
            Some(None) => log::warn!("eth{link}: the address of IPv6 was lost"),
            None => {}
        }
    }
}

/// The host hears of the first card's.
fn tell_of(link: usize, ip: IpAddr, prefix_bits: u8, gateway: Option<IpAddr>) {
    let gateway_text = gateway.map_or(String::from("none"), |gateway| alloc::format!("{gateway}"));
    log::info!("eth{link}: address {ip}/{prefix_bits}, gateway {gateway_text}");
    if link == 0 {
        console::control(&Control::Address { ip, gateway });
    }
}
