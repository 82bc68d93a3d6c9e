//! `--boot-timeline`: how long each step of a start took, as far as the host and the guest can see it.

use crate::ui;
use std::time::Duration;
use toro_abi::control::Control;
use toro_vmm::{Guest, Stat};

/// How long a guest may take to say when its program began.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The steps of a start, told once: when the program listens, or at the end of one that does not.
pub(crate) struct Timeline {
    /// When the machine was made and began to run.
    machine: Duration,
    is_told: bool,
}

impl Timeline {
    /// Of a guest that has just been started.
    pub(crate) fn begin(guest: &Guest) -> Self {
        Self { machine: guest.started().elapsed(), is_told: false }
    }

    /// Tells, if it is time.
    pub(crate) fn hear(&mut self, guest: &Guest, controls: &[(Duration, Control)]) {
        let listens = controls.iter().any(|(_, control)| matches!(control, Control::Listen { .. }));
        if listens && !self.is_told {
            match guest.statistics(ANSWER_LIMIT) {
                Ok(stats) => self.tell(guest, &stats),
                Err(error) => {
                    ui::note(format_args!("when the program began is not known: {}", error.message()), error.cure());
                    self.tell(guest, &[]);
                }
            }
        }
    }

    /// The guest has ended.
    pub(crate) fn end(&mut self, guest: &Guest) {
        if !self.is_told {
            let stats = guest.transcript(|said| said.stats.clone());
            self.tell(guest, &stats);
        }
    }

    fn tell(&mut self, guest: &Guest, stats: &[Stat]) {
        self.is_told = true;
        let (controls, outcome) = guest.transcript(|said| (said.controls.clone(), said.outcome_after));
        lines(self.machine, &controls, stats, outcome).iter().for_each(ui::say);
    }
}

fn lines(
    machine: Duration,
    controls: &[(Duration, Control)],
    stats: &[Stat],
    outcome: Option<Duration>,
) -> Vec<String> {
    let find = |wanted: &dyn Fn(&Control) -> bool| controls.iter().find(|(_, control)| wanted(control));
    let mut steps =
        vec![(Duration::ZERO, "QEMU is started".to_owned()), (machine, "its machine is made, and runs".into())];
    if let Some((after, _)) = find(&|control| matches!(control, Control::Boot { .. })) {
        let told = |name: &str| {
            let stat = stats.iter().find(|stat| stat.core.is_none() && stat.name == name)?;
            stat.value.parse().ok().map(Duration::from_nanos)
        };
        match told("spoke_ns").zip(told("main_ns")) {
            // The guest's clock counts from its entry; what it said first is where both clocks meet.
            Some((spoke, main)) => {
                let entry = after.saturating_sub(spoke);
                steps.push((entry, "the firmware has loaded the kernel and enters it".into()));
                steps.push((entry + main, "main begins".into()));
            }
            None => steps.push((*after, "the kernel speaks".into())),
        }
    }
    if let Some((after, Control::Listen { protocol, port })) =
        find(&|control| matches!(control, Control::Listen { .. }))
    {
        steps.push((*after, format!("it listens on {protocol} port {port}")));
    }
    steps.extend(outcome.map(|after| (after, "it has ended".to_owned())));
    let mut before = Duration::ZERO;
    let line = |(at, what): &(Duration, String)| {
        let step = at.saturating_sub(before);
        before = *at;
        format!("{:>12} {:>+12.3} ms  {what}", milliseconds(*at), step.as_secs_f64() * 1e3)
    };
    steps.iter().map(line).collect()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use toro_abi::control::Protocol;

    #[test]
    fn each_step_has_its_time_and_its_length() {
        let ms = Duration::from_millis;
        let controls = [
            (ms(30), Control::Boot { base: 0, version: 1, revision: 1 }),
            (ms(32), Control::Listen { protocol: Protocol::Tcp, port: 80 }),
        ];
        let stat = |name: &str, ns: &str| Stat { core: None, name: name.into(), value: ns.into() };
        let told = [stat("spoke_ns", "1000000"), stat("main_ns", "2500000")];
        let known = lines(ms(25), &controls, &told, None);
        assert_eq!(known.len(), 5);
        assert!(known[2].contains("29.000 ms") && known[2].contains("+4.000 ms"), "{known:?}");
        assert!(known[3].contains("31.500 ms") && known[3].contains("+2.500 ms  main begins"), "{known:?}");
        assert!(known[4].contains("+0.500 ms  it listens on tcp port 80"), "{known:?}");
        let unknown = lines(ms(25), &controls, &[], Some(ms(40)));
        assert!(unknown[2].contains("30.000 ms") && unknown[2].ends_with("the kernel speaks"), "{unknown:?}");
    }
}
