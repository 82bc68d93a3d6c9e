//! What was typed: the command line, word by word, before anything is made of it.

use crate::ui;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use toro_vmm::Error;

/// Builds one application and a kernel into an image, and runs it in a virtual machine of its own.
#[derive(Debug, Parser)]
#[command(name = "toro", version, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run an application: a package directory, which is built first, an image, or a static Linux executable
    Run(Box<RunArgs>),
    /// Build an image that plain `qemu-system-x86_64 -kernel FILE` boots
    Build(BuildArgs),
    /// Make a package in an empty directory
    New(NewArgs),
    /// List the guests in the background
    Ps(PsArgs),
    /// Print what a guest in the background printed
    Logs(LogsArgs),
    /// Ask guests in the background to end, and kill those that do not (status 124)
    Stop(StopArgs),
    /// End guests in the background at once
    Kill(NamesArgs),
    /// Print all that is known of a guest in the background, as JSON
    Inspect(InspectArgs),
    /// Print what a guest in the background has used and counted: how it slept, and what woke it
    Stats(StatsArgs),
    /// Print the network cards and sockets of a guest in the background, and which packets it dropped, and why
    Net(StatsArgs),
    /// Forget guests that have ended; their names are free anyway
    Rm(NamesArgs),
    /// Tell whether a Linux program can run, and which of its system calls are missing
    Check(CheckArgs),
    /// Check what this machine has for building and running images
    Doctor,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Run in the background, and print the guest's name once it is up
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// This is the process in the background, started by `-d`, which has decided what `--accel` comes to
    #[arg(long, hide = true, value_name = "ACCEL")]
    pub in_background: Option<String>,
    /// Publish a port; host port 0 picks a free one [address: 127.0.0.1]
    #[arg(short = 'p', long, value_name = "[ADDR:]HOST:GUEST[/udp]")]
    pub publish: Vec<String>,
    /// Memory [default: 64M, beside the files of a Linux program]
    #[arg(short = 'm', long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Virtual processors [default: 1]
    #[arg(long, value_name = "N")]
    pub cpus: Option<String>,
    /// Set an environment variable, or pass the one of this environment
    #[arg(short = 'e', long, value_name = "K[=V]")]
    pub env: Vec<String>,
    /// Read environment variables from a file, one `K=V` or `K` a line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Name of the guest: its host name, and what `ps` shows [default in the background: made up]
    #[arg(long)]
    pub name: Option<String>,
    /// microvm, microvm-minimal, microvm-pci, q35, q35-qboot, pc or pc-qboot [default: microvm]
    #[arg(long, value_name = "TYPE")]
    pub machine: Option<String>,
    /// auto, tcg or kvm [default: auto]
    #[arg(long, value_name = "ACCEL")]
    pub accel: Option<String>,
    /// user, tap:NAME or none; an interface made with multi_queue gives each core of a PCI machine a queue. Up to four times,
    /// for eth0, eth1 and so on, each with ,ip=A.B.C.D/P ,gateway=A.B.C.D ,ip6=X:X::X/P ,gateway6=X:X::X and
    /// ,mac=XX:XX:XX:XX:XX:XX of its own if wanted [default: user]
    #[arg(long, value_name = "NETWORK")]
    pub net: Vec<String>,
    /// Address of the guest (of eth0), with the length of its network's prefix; or dhcp
    #[arg(long, value_name = "A.B.C.D/P")]
    pub ip: Option<String>,
    /// Default gateway of the guest (of eth0)
    #[arg(long, value_name = "A.B.C.D")]
    pub gateway: Option<String>,
    /// Address of IPv6 of the guest (of eth0), with the length of its network's prefix; auto or none [default: auto]
    #[arg(long, value_name = "X:X::X/P")]
    pub ip6: Option<String>,
    /// Default gateway of IPv6 (of eth0)
    #[arg(long, value_name = "X:X::X")]
    pub gateway6: Option<String>,
    /// Name server that the guest asks; several are asked one after the other [default: the network's]
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// Domain in which the guest looks for short names [default: the network's]
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// A name that the guest knows without asking
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<String>,
    /// What the kernel logs: a level, or `module=level,...` [default: warn]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// latency, balanced, saving or spin: how cores without work trade processor time for latency [default: balanced]
    #[arg(long, value_name = "MODE")]
    pub power: Option<String>,
    /// What a fault comes to that nobody catches: exit (it ends its thread, and that of main the machine), restart (main begins
    /// again) or exit-any (it ends the machine, whichever thread's it is) [default: exit]
    #[arg(long, value_name = "POLICY")]
    pub fault: Option<String>,
    /// Print at the end what the guest has counted: how it slept, and what woke it
    #[arg(long)]
    pub stats: bool,
    /// Print how long each step of the start took
    #[arg(long)]
    pub boot_timeline: bool,
    /// End the guest after this many seconds, with a backtrace
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<String>,
    /// Record all frames of eth0
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Write reports of what went wrong as JSON, with how the run ended
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// When a fault, a panic, a signal or the time limit ends the guest, write a core that gdb opens with the image or the Linux program
    #[arg(long, value_name = "FILE")]
    pub core: Option<PathBuf>,
    /// Wait at the first instruction for gdb on port 1234
    #[arg(long)]
    pub gdb: bool,
    /// Show what would be run
    #[arg(long)]
    pub dry_run: bool,
    /// Write how the run ended as JSON
    #[arg(long, value_name = "FILE")]
    pub status_file: Option<PathBuf>,
    #[command(flatten)]
    pub files: FileArgs,
    /// Print each system call of a Linux program
    #[arg(long)]
    pub strace: bool,
    /// The application; everything after it is passed on
    // One list, so that options behind APP are the application's and not ours.
    #[arg(required = true, trailing_var_arg = true, value_names = ["APP", "ARGS"])]
    pub app_and_args: Vec<String>,
}

impl RunArgs {
    pub(crate) fn app(&self) -> &str {
        self.app_and_args.first().map_or("", String::as_str)
    }

    pub(crate) fn arguments(&self) -> &[String] {
        self.app_and_args.get(1..).unwrap_or_default()
    }
}

/// The files of a Linux program.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct FileArgs {
    /// Files of a Linux program: its root, in which APP may be; a folder or a tar file [default: the program alone, in /app]
    #[arg(long, value_name = "DIR|FILE.tar")]
    pub root: Option<PathBuf>,
    /// Put a folder or file of the host at a path of the guest, as it is now; read-only
    #[arg(short = 'v', long, value_name = "HOST:GUEST[:ro]")]
    pub volume: Vec<String>,
    /// Directory of the guest that a Linux program begins in [default: /]
    #[arg(short = 'w', long, value_name = "DIR")]
    pub workdir: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// Set an environment variable, or pass the one of this environment
    #[arg(short = 'e', long, value_name = "K[=V]")]
    pub env: Vec<String>,
    /// Where to write the image [default: NAME.elf here]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Leave symbols out: smaller, but reports show bare addresses
    #[arg(long)]
    pub strip: bool,
    #[command(flatten)]
    pub files: FileArgs,
    /// The application: a package directory, an image, or a static Linux executable
    pub app: String,
    /// Arguments that the image gives to the application
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The program
    pub file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The directory to make; its last part is the package's name
    pub name: PathBuf,
    /// Folder of the library `toro` [default: of the sources that this program was built from]
    #[arg(long, value_name = "DIR")]
    pub library: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PsArgs {
    /// Those that have ended, too
    #[arg(short = 'a', long)]
    pub all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// Go on until the guest ends
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// The guest's name
    pub name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// Seconds to wait before it is killed
    #[arg(short = 't', long, value_name = "SECONDS", default_value_t = 10.0)]
    pub time: f64,
    /// The guests' names
    #[arg(required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NamesArgs {
    /// The guests' names
    #[arg(required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatsArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The guest's name
    pub name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The guest's name
    pub name: String,
}

/// Reads the command line. Help and version are printed here; a mistake is told in one line.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, ExitCode> {
    Line::try_parse_from(words).map(|line| line.command).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match ui::printed(error.print()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                ui::error(&error);
                ExitCode::from(error.status())
            }
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ui::say(&error);
            ExitCode::from(toro_abi::outcome::status::TOOL)
        }
        _ => {
            let error = explain(&error);
            ui::error(&error);
            ExitCode::from(error.status())
        }
    })
}

/// clap's several lines as one, and its tip as the cure.
fn explain(error: &clap::Error) -> Error {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let message = words.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let suggestion = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand].into_iter().find_map(|kind| {
        match error.get(kind)? {
            ContextValue::String(one) => Some(one.clone()),
            ContextValue::Strings(several) => several.first().cloned(),
            _ => None,
        }
    });
    let command = std::env::args_os()
        .nth(1)
        .and_then(|word| word.into_string().ok())
        .filter(|word| Line::command().find_subcommand(word).is_some());
    Error::new(message).help(match suggestion {
        Some(suggestion) => format!("did you mean `{suggestion}`?"),
        None => format!("toro {}--help", command.map(|command| command + " ").unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_run(words: &[&str]) -> RunArgs {
        let words = ["toro", "run"].iter().chain(words).map(OsString::from);
        match Line::try_parse_from(words).unwrap().command {
            Command::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everything_after_the_application_is_its_own() {
        let args = parse_run(&["-p", "8080:80", "-m", "8M", "app", "-p", "1:2", "--dry-run", "--", "x"]);
        assert_eq!((args.app(), args.publish.as_slice()), ("app", &["8080:80".to_owned()][..]));
        assert_eq!(args.arguments(), ["-p", "1:2", "--dry-run", "--", "x"]);
        assert!(!args.dry_run);
    }

    #[test]
    fn a_wrong_option_is_one_line_and_a_cure() {
        let error = Line::try_parse_from(["toro", "run", "--memroy", "8M", "app"]).unwrap_err();
        let error = explain(&error);
        assert_eq!(error.message(), "unexpected argument '--memroy' found");
        assert_eq!(error.cure(), Some("did you mean `--memory`?"));
        assert_eq!(error.status(), 125);
    }
}
