//! How fast this core runs, where the hypervisor lets it say so: the registers behind `toro_power::frequency`.

#![expect(unsafe_code, reason = "model-specific registers")]

use super::{attempt, cpu};
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use toro_power::frequency::{Governor, Interface, Levels, Offer, perf_ctl};

const PLATFORM_INFO: u32 = 0xce;
const PERF_CTL: u32 = 0x199;
const HWP_ENABLE: u32 = 0x770;
const HWP_CAPABILITIES: u32 = 0x771;
const HWP_REQUEST: u32 = 0x774;
const CPPC_CAPABILITIES: u32 = 0xc001_02b0;
const CPPC_ENABLE: u32 = 0xc001_02b1;
const CPPC_REQUEST: u32 = 0xc001_02b3;

/// An [`Interface`], as a number: what the core that looked last has found. All of a machine have the same.
static FOUND: AtomicU8 = AtomicU8::new(Interface::NotExposed as u8);

/// How the speed of cores is set, as far as one has looked.
pub fn interface() -> Interface {
    let all =
        [Interface::NotExposed, Interface::Refused, Interface::Hwp, Interface::Cppc, Interface::PerfCtl].into_iter();
    let found = FOUND.load(Relaxed);
    all.into_iter().find(|interface| *interface as u8 == found).unwrap_or_default()
}

/// Tells this core what to prefer. What decides for it, where it does not decide by itself.
#[cold]
pub(super) fn begin(preference: u8) -> Option<Governor> {
    let [.., features, _] = cpu::cpuid(1);
    let power = cpu::cpuid(6)[0];
    let offer = Offer {
        hwp: power & 1 << 7 != 0,
        hwp_preference: power & 1 << 10 != 0,
        cppc: cpu::cpuid(0x8000_0008)[1] & 1 << 27 != 0,
        perf_ctl: features & 1 << 7 != 0,
    };
    let best = offer.best();
    let (works, governor) = match best {
        Interface::NotExposed | Interface::Refused => (true, None),
        Interface::Hwp => {
            let works = write(HWP_ENABLE, 1)
                && levels(HWP_CAPABILITIES, Levels::of_hwp)
                    .is_some_and(|levels| write(HWP_REQUEST, levels.hwp_request(preference, offer.hwp_preference)));
            (works, None)
        }
        Interface::Cppc => {
            let works = write(CPPC_ENABLE, 1)
                && levels(CPPC_CAPABILITIES, Levels::of_cppc)
                    .is_some_and(|levels| write(CPPC_REQUEST, levels.cppc_request(preference)));
            (works, None)
        }
        Interface::PerfCtl => {
            let governor = levels(PLATFORM_INFO, Levels::of_platform).map(Governor::new);
            (governor.is_some(), governor)
        }
    };
    FOUND.store(if works { best } else { Interface::Refused } as u8, Relaxed);
    governor
}

/// This core was busy for so long, and then slept for so long: has it run as fast as that takes.
#[cold]
#[inline(never)]
pub(super) fn slept(governor: &mut Governor, busy_ns: u64, idle_ns: u64, preference: u8) {
    if let Some(ratio) = governor.slept(busy_ns, idle_ns, preference) {
        // A ratio that is refused is as good as one that the hypervisor ignores.
        let _obeyed = write(PERF_CTL, perf_ctl(ratio));
    }
}

fn levels(register: u32, read: fn(u64) -> Levels) -> Option<Levels> {
    attempt::read_msr(register).map(read).filter(|levels| levels.are_sane())
}

fn write(register: u32, value: u64) -> bool {
    // SAFETY: these registers change how fast the core runs, and nothing else.
    unsafe { attempt::write_msr(register, value) }
}
