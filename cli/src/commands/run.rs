//! `toro run`: build, start, watch, and end as the guest ended.

use crate::application::Application;
use crate::args::RunArgs;
use crate::background::Background;
use crate::commands::{detach, dry_run};
use crate::config::{Config, parse_accelerator};
use crate::figures::Figures;
use crate::gdb;
use crate::news::News;
use crate::signals::{self, Requests};
use crate::status_file::StatusFile;
use crate::timeline::Timeline;
use crate::ui;
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use toro_abi::control::Control;
use toro_abi::outcome::{Kind, status};
use toro_vmm::{Accelerator, Cancel, Ending, Error, Exit, Guest, Sink, Sinks, Unmet, probe, qemu};

/// Runs; the exit status is the tool's.
pub(crate) fn run(args: &RunArgs) -> Result<u8, Error> {
    let check = |option, file: &Option<PathBuf>| match file {
        Some(file) if !args.dry_run => StatusFile::check(option, file).map(Some),
        _ => Ok(None),
    };
    let status_file = check("--status-file", &args.status_file)?;
    let report_file = check("--report", &args.report)?;
    let mut background = None;
    let application = Application::open(args.app(), &args.files);
    let result = application.and_then(|mut application| {
        if args.strace && !matches!(application, Application::Program(_)) {
            return Err(Error::new(format!("cannot trace {}: it makes no system calls", args.app()))
                .help("--strace is for Linux programs"));
        }
        let mut config = Config::new(args, &application)?;
        if args.dry_run {
            return dry_run::show(args, &config, &mut application).map(|()| Done::Other(0));
        }
        if let Some(accelerator) = &args.in_background {
            // Whoever started this process has built the image, and tried KVM where that was to be tried.
            config.accelerator = parse_accelerator(accelerator)?;
            let background = background.insert(Background::begin(config.name.as_deref())?);
            config.name = Some(background.name().to_owned());
            application.use_built()?;
            return watch(&application, &config, args, Some(background)).map(Done::Run);
        }
        if args.detach {
            return detach::detach(&config, &mut application).map(Done::Other);
        }
        application.build()?;
        watch(&application, &config, args, None).map(Done::Run)
    });
    let report = match &result {
        Ok(Done::Other(status)) => return Ok(*status),
        Ok(Done::Run(report)) => report.to_json(),
        Err(error) => json!({ "status": error.status(), "kind": "error", "message": error.message() }),
    };
    let mut reports = report.clone();
    reports["reports"] = match &result {
        Ok(Done::Run(report)) => report.reports.iter().map(toro_vmm::Report::to_json).collect(),
        _ => json!([]),
    };
    let files = [(status_file, &report), (report_file, &reports)];
    for error in files.into_iter().filter_map(|(file, text)| file?.write(text).err()) {
        match &result {
            // The first failure is what matters; this one is told beside it.
            Err(_) => ui::error(&error),
            Ok(done) if done.status() != 0 || background.is_some() => ui::error(&error),
            Ok(_) => return Err(error),
        }
    }
    let Some(background) = background else { return result.map(|done| done.status()) };
    let status = match result {
        Ok(done) => done.status(),
        Err(error) => {
            ui::error(&error);
            error.status()
        }
    };
    background.end(report).map(|()| status)
}

/// What there is to tell at the end.
enum Done {
    /// A guest has run.
    Run(Report),
    /// Something else was done, with this status.
    Other(u8),
}

impl Done {
    fn status(&self) -> u8 {
        match self {
            Self::Run(report) => report.status,
            Self::Other(status) => *status,
        }
    }
}

/// How a run ended, for the shell and for the status file.
struct Report {
    status: u8,
    kind: &'static str,
    message: String,
    ready_ms: Option<f64>,
    run_ms: f64,
    /// What went wrong, and was told.
    reports: Vec<toro_vmm::Report>,
}

impl Report {
    /// It was ended before it could begin.
    fn unfinished(status: u8, kind: &'static str) -> Self {
        Self { status, kind, message: String::new(), ready_ms: None, run_ms: 0.0, reports: Vec::new() }
    }

    fn to_json(&self) -> Value {
        json!({
            "status": self.status, "kind": self.kind, "message": self.message,
            "ready_ms": self.ready_ms, "run_ms": self.run_ms,
        })
    }
}

/// Decides what `auto` stands for; a reason why it is the slow one is told once.
pub(crate) fn choose_accelerator(accelerator: Accelerator) -> Result<Accelerator, Error> {
    if accelerator != Accelerator::Auto {
        return Ok(accelerator);
    }
    let choice = probe::choose(&qemu::program(None))?;
    if let (Some(reason), true) = (&choice.reason, choice.is_news) {
        ui::note(format!("using TCG, which is slower than KVM: {}", reason.message()), reason.cure());
    }
    Ok(choice.accelerator)
}

/// Starts the machine and stays with it to its end.
fn watch(
    application: &Application,
    config: &Config,
    args: &RunArgs,
    background: Option<&Background>,
) -> Result<Report, Error> {
    let started = Arc::new(OnceLock::<Weak<Guest>>::new());
    let cancel = config.timeout.map_or_else(Cancel::new, Cancel::after);
    let requests = signals::listen({
        let (started, cancel) = (started.clone(), cancel.clone());
        move |requests| {
            ui::hurry();
            cancel.cancel();
            if let Some(guest) = started.get().and_then(Weak::upgrade) {
                // Here, because whoever watches the guest may wait for a QEMU that does not answer.
                if requests.is_kill() {
                    guest.kill();
                }
                guest.wake();
            }
        }
    })?;
    let mut machine = config.machine(args, application)?;
    machine.module = application.module()?;
    machine.accelerator = choose_accelerator(machine.accelerator)?;
    if args.gdb {
        ui::note(format_args!("waiting for a debugger: {}", gdb::command(&machine)), None);
    }
    machine.stdin = is_stdin_open();
    machine.sinks =
        Sinks { stdout: sink(std::io::stdout())?, stderr: sink(std::io::stderr())?, log: sink(std::io::stderr())? };
    let (forwards_stdin, symbols) = (machine.stdin, machine.image.symbols.clone());
    if let Some(background) = background {
        background.starts(&machine, &application.shown());
    }
    let guest = match machine.start_unless(&cancel) {
        Ok(guest) => Arc::new(guest),
        Err(_) if requests.count() > 0 => return Ok(Report::unfinished(requests.status(), "killed")),
        Err(_) if cancel.is_cancelled() => {
            say_timeout(config);
            return Ok(Report::unfinished(status::TIMEOUT, "timeout"));
        }
        Err(error) => return Err(error),
    };
    if let Some(text) = guest.vmm_news() {
        ui::note(text, None);
    }
    if let Some(background) = background {
        background.started(&guest, args.gdb);
    }
    // A signal from before is still counted, and seen by the first wait.
    started.set(Arc::downgrade(&guest)).unwrap_or_default();
    if forwards_stdin {
        forward_stdin(&guest)?;
    }

    let mut news = News::new(&guest, config.network(), args.gdb.then_some(&*symbols), background);
    let mut timeline = config.boot_timeline.then(|| Timeline::begin(&guest));
    let exit = stay(&guest, config, &requests, background, |controls| {
        news.tell(controls);
        if let Some(timeline) = &mut timeline {
            timeline.hear(&guest, controls);
        }
    });
    if let Some(timeline) = &mut timeline {
        timeline.end(&guest);
    }
    report(&guest, exit, config, &requests, news.ready_after())
}

/// Passes on what is heard of the guest, until it ends or has to.
fn stay(
    guest: &Guest,
    config: &Config,
    requests: &Requests,
    background: Option<&Background>,
    mut tell: impl FnMut(&[(Duration, Control)]),
) -> Exit {
    let deadline = config.timeout.and_then(|timeout| guest.started().checked_add(timeout));
    if let Some(deadline) = deadline {
        ui::hurry_at(deadline);
    }
    let mut told = 0; // control records
    let mut handled = 0; // signals
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let step = guest.wait_until(left, |said| {
            if said.controls.len() > told {
                Some(Step::Said(said.controls[told..].to_vec()))
            } else if said.is_over() {
                Some(Step::End)
            } else if requests.count() > handled {
                Some(Step::Signal { hears: said.image_base().is_some() })
            } else {
                said.sink_failure.is_some().then_some(Step::OutputLost)
            }
        });
        if let (Some(background), Err(_) | Ok(Step::Signal { .. } | Step::OutputLost | Step::End)) = (background, &step)
        {
            background.ending();
        }
        match step {
            Ok(Step::Said(controls)) => {
                told += controls.len();
                tell(&controls);
            }
            Ok(Step::Signal { .. }) if requests.is_kill() => {
                guest.kill();
                return guest.finish();
            }
            Ok(Step::Signal { hears: true }) if handled == 0 => {
                handled = 1;
                guest.request_stop();
                if std::io::stderr().is_terminal() {
                    ui::note("stopping; Ctrl-C again ends the guest at once", None);
                }
            }
            Ok(Step::Signal { hears: true }) => {
                requests.ending();
                return guest.end(say_wait);
            }
            // Before it runs a guest obeys nobody, and where it is says nothing.
            Ok(Step::Signal { hears: false } | Step::OutputLost) => {
                guest.kill();
                return guest.finish();
            }
            Err(Unmet::TimedOut) if guest.transcript(|said| said.vmm_exit.is_none()) => {
                requests.ending();
                return guest.end_late(say_wait);
            }
            Ok(Step::End) | Err(_) => {
                let exit = guest.finish_unless(|| requests.count() > handled);
                tell(&guest.transcript(|said| said.controls[told..].to_vec()));
                return exit;
            }
        }
    }
}

/// Tells how the guest ended. It is gone by now: a reader who is not there keeps nobody from ending it.
fn report(
    guest: &Guest,
    mut exit: Exit,
    config: &Config,
    requests: &Requests,
    ready_after: Option<Duration>,
) -> Result<Report, Error> {
    let (failure, is_cut) = guest.transcript(|said| (said.sink_failure.clone(), said.is_cut));
    // Whoever does not wait for the readers of the output interrupts a guest that has ended, too.
    if requests.count() > 0 && is_cut && exit.ending != Ending::TimedOut {
        exit.ending = Ending::Killed;
    }
    let is_killed = exit.ending == Ending::Killed && requests.count() > 0;
    if exit.ending == Ending::TimedOut {
        say_timeout(config);
    }
    ui::say_text(&exit.backtrace);
    match &exit.core {
        Some(Ok(())) => say_core(guest, config),
        Some(Err(error)) => ui::error(error),
        None => {}
    }
    if config.stats {
        match Figures::last(guest) {
            Some(figures) => figures.lines().iter().for_each(ui::say),
            None => {
                ui::note("the guest did not say what it has counted: it does when it exits, or is asked to stop", None)
            }
        }
    }
    let lost = config.pcap.as_ref().filter(|_| exit.lost_frames());
    let lost = lost.map(|file| {
        Error::new(format!("cannot write {}: frames are missing at its end", file.display()))
            .help("`df` tells whether the disk is full")
    });
    match failure.map(Error::new).or(lost) {
        Some(error) if is_killed || exit.ending == Ending::TimedOut => ui::error(&error),
        Some(error) => return Err(error),
        None => {}
    }
    if let Some(error) = &exit.error_after_report()
        && exit.ending != Ending::TimedOut
    {
        ui::error(error);
    }
    let is_stopped = is_killed || exit.outcome().is_some_and(|outcome| outcome.kind == Kind::Stopped);
    let status = if is_stopped && requests.count() > 0 { requests.status() } else { exit.status() };
    let message = match (exit.outcome(), exit.error()) {
        (Some(outcome), _) => outcome.message.clone(),
        (None, Some(error)) => error.message().to_owned(),
        (None, None) => String::new(),
    };
    let run = guest.transcript(|said| said.outcome_after).unwrap_or_else(|| guest.started().elapsed());
    let (ready_ms, run_ms) = (ready_after.map(milliseconds), milliseconds(run));
    Ok(Report { status, kind: exit.kind(), message, ready_ms, run_ms, reports: exit.reports })
}

/// Tells how the core is looked at.
fn say_core(guest: &Guest, config: &Config) {
    let (Some(core), Some((of, elf))) = (&config.core, guest.core_symbols()) else { return };
    ui::note(format_args!("core written: {}", gdb::command_for_core(of, &elf, core)), None);
}

fn say_wait() {
    ui::note("waiting for QEMU to say where the guest is; Ctrl-C ends it at once", None);
}

fn say_timeout(config: &Config) {
    ui::note(format!("time limit of {:?} reached", config.timeout.unwrap_or_default()), None);
}

enum Step {
    Said(Vec<(Duration, Control)>),
    /// `hears`: the kernel runs, and can obey.
    Signal {
        hears: bool,
    },
    OutputLost,
    End,
}

/// The guest's stream goes where ours goes.
fn sink(stream: impl AsFd) -> Result<Sink, Error> {
    let fd = stream.as_fd().try_clone_to_owned();
    fd.map(Sink::Write).map_err(|error| Error::new(format!("cannot pass the guest's output on: {error}")))
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Whether standard input can give the guest anything: not when it is `/dev/null`, closed, or a terminal that
/// belongs to somebody else, where reading would stop us.
fn is_stdin_open() -> bool {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let foreground = rustix::termios::tcgetpgrp(&stdin);
        return foreground.is_ok_and(|group| group == rustix::process::getpgrp());
    }
    let null = std::fs::metadata("/dev/null").map(|null| std::os::unix::fs::MetadataExt::rdev(&null));
    match (rustix::fs::fstat(&stdin), null) {
        (Ok(stdin), Ok(null)) => stdin.st_rdev != null,
        (stdin, _) => stdin.is_ok(),
    }
}

fn forward_stdin(guest: &Arc<Guest>) -> Result<(), Error> {
    let guest = Arc::downgrade(guest);
    let forward = move || {
        let mut buffer = [0; 4096];
        loop {
            let read = std::io::stdin().lock().read(&mut buffer);
            let Some(guest) = guest.upgrade() else { return };
            match read {
                Ok(len @ 1..) if guest.send_stdin(&buffer[..len]) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(_) => return guest.close_stdin(),
                Err(error) => {
                    ui::error(&Error::new(format!("cannot read standard input, which ends here: {error}")));
                    return guest.close_stdin();
                }
            }
        }
    };
    let started = std::thread::Builder::new().name("stdin".into()).spawn(forward);
    started.map(drop).map_err(|error| Error::new(format!("cannot start a thread: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_file_has_what_the_shell_gets() {
        let report = Report { message: "why".into(), run_ms: 1.5, ..Report::unfinished(status::PANIC, "panic") };
        let text = report.to_json().to_string();
        assert_eq!(text, r#"{"kind":"panic","message":"why","ready_ms":null,"run_ms":1.5,"status":101}"#);
    }
}
