//! The other processors: what the machine's tables say of them, and who looks whether they come.

use crate::acpi;
use crate::arch::smp::{self, Progress};
use crate::arch::{core_local, cores, cpu, time};
use crate::boot::BootInfo;
use crate::mm::PhysAddr;
use crate::sched::{self, Poller};

/// When a core that has not come is asked again, and when it is given up: nobody waits so long for what works.
const ASK_AGAIN_NS: u64 = 100_000_000;
const GIVE_UP_NS: u64 = 10_000_000_000;

/// Numbers of local APICs, each once, as far as there are cores for them.
struct Found {
    own: u32,
    apic_ids: [u32; cores::CORES_MAX - 1],
    count: usize,
    /// Named, but not used.
    beyond: usize,
}

impl Found {
    fn add(&mut self, apic_id: u32) {
        if apic_id == self.own || self.apic_ids[..self.count].contains(&apic_id) {
            return;
        }
        // Without x2APIC mode there are eight bits for a number, and 255 is everybody.
        let reachable = apic_id <= if cpu::has_x2apic() { u32::MAX - 1 } else { 254 };
        match self.apic_ids.get_mut(self.count) {
            Some(place) if reachable => {
                *place = apic_id;
                self.count += 1;
            }
            _ => self.beyond += 1,
        }
    }
}

/// Starts all processors that the machine's tables name. `low_page` is where they begin.
#[cold]
pub(crate) fn start(boot: &BootInfo, low_page: Option<PhysAddr>) {
    let mut found = Found { own: cpu::apic_id(), apic_ids: [0; cores::CORES_MAX - 1], count: 0, beyond: 0 };
    acpi::processors(boot, &mut |apic_id| found.add(apic_id));
    if found.beyond > 0 {
        log::warn!("the machine has {} processors, {} are used", found.count + 1 + found.beyond, found.count + 1);
    }
    if let Err(error) = smp::start(&found.apic_ids[..found.count], low_page, sched::run_core) {
        log::error!("{} of {} processors are used: {error}", cores::count(), found.count + 1);
    }
    if cores::count() > 1 {
        let now_ns = time::now_ns();
        NEXT.with(|next| *next = Some(Next::AskAgain(now_ns + ASK_AGAIN_NS, now_ns + GIVE_UP_NS)));
        sched::register(&Watch);
    }
}

/// What is to be done about those who have not come, and when.
#[derive(Clone, Copy)]
enum Next {
    /// At the first moment; the second is for what follows.
    AskAgain(u64, u64),
    GiveUp(u64),
}

/// Looks, on the boot core, whether all have come.
struct Watch;

core_local! {
    /// The boot core's, as long as some have not come.
    static NEXT: Option<Next> = None;
}

/// Nothing that was meant for a core that never came is waited for in vain.
fn take_over_from_absent() {
    cores::all().filter(|core| cores::is_given_up(*core)).for_each(sched::take_over);
}

impl Watch {
    #[cold]
    fn look(next: Next, now_ns: u64) -> Option<Next> {
        if smp::look() == Progress::Complete {
            take_over_from_absent();
            log::info!("{} cores", cores::count());
            return None;
        }
        match next {
            Next::AskAgain(at_ns, give_up_ns) if now_ns >= at_ns => {
                smp::ask_again();
                Some(Next::GiveUp(give_up_ns))
            }
            Next::GiveUp(at_ns) if now_ns >= at_ns => {
                smp::give_up(|core, apic_id| {
                    log::warn!("core {core} (APIC {apic_id}) does not start; threads meant for it run on core 0");
                });
                take_over_from_absent();
                None
            }
            later => Some(later),
        }
    }
}

impl Poller for Watch {
    fn poll(&self, now_ns: u64) {
        if let Some(next) = NEXT.with(|next| *next) {
            let next = Self::look(next, now_ns);
            NEXT.with(|stored| *stored = next);
        }
    }

    fn prepare_idle(&self) -> Option<u64> {
        NEXT.with(|next| *next).map(|(Next::AskAgain(at_ns, _) | Next::GiveUp(at_ns))| at_ns)
    }
}
