//! What is run: a package or an image with a kernel in it, or a Linux program, for which there is a kernel here.

use crate::args::FileArgs;
use crate::config::parse_memory;
use crate::metadata::{Metadata, of};
use crate::program::Program;
use serde_json::Value;
use std::path::Path;
use toro_abi::cmdline::{self, CommandLine};
use toro_vmm::machine::MEMORY_BYTES_DEFAULT;
use toro_vmm::{Error, Image, Machine, Module, Package, Port, Profile, elf, linux};

/// What is run.
#[derive(Debug)]
pub(crate) enum Application {
    /// A package that is linked with the kernel, built first.
    Package(Package),
    /// An image that is there.
    Image(Image),
    /// A Linux program.
    Program(Box<Program>),
}

impl Application {
    /// Finds it: in the root that `files` names, else on the host, where a directory is a package, and a file an image or a
    /// Linux program.
    pub(crate) fn open(app: &str, files: &FileArgs) -> Result<Self, Error> {
        if let Some(program) = Program::in_root(app, files)? {
            return Ok(Self::Program(Box::new(program)));
        }
        let path = Path::new(app);
        if path.is_file() {
            let is_image = std::fs::read(path).is_ok_and(|bytes| elf::check(&bytes).is_ok());
            return match is_image {
                true => no_files(app, files).and_then(|()| Image::open(path)).map(Self::Image),
                false => Program::on_host(path, files).map(|program| Self::Program(Box::new(program))),
            };
        }
        let package = Package::open(path)?;
        if package.is_native()? {
            return no_files(app, files).map(|()| Self::Package(package));
        }
        Program::of_package(package, files).map(|program| Self::Program(Box::new(program)))
    }

    /// `[package.metadata.toro]`.
    pub(crate) fn metadata(&self) -> Option<&Value> {
        let package = match self {
            Self::Package(package) => Some(package),
            Self::Image(_) => None,
            Self::Program(program) => program.package(),
        };
        package.map(|package| &package.metadata).filter(|metadata| !metadata.is_null())
    }

    /// Variables that are set when nobody sets them.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        match self {
            Self::Program(_) => Program::environment(),
            Self::Package(_) | Self::Image(_) => Vec::new(),
        }
    }

    /// What an image carries by itself: of a package's metadata, or what is embedded already.
    pub(crate) fn embedded_settings(&self) -> Result<Embedded, Error> {
        if let Self::Image(image) = self {
            return Ok(Embedded::read(&elf::read(&image.boot)?));
        }
        let metadata = Metadata::new(self.metadata())?;
        let mut environment = self.environment();
        let own = metadata.environment()?;
        environment.retain(|(name, _)| own.iter().all(|(known, _)| known != name));
        environment.extend(own);
        Ok(Embedded { arguments: metadata.list("args")?, environment })
    }

    /// A machine with this memory and these ports, as a user without options gets it.
    pub(crate) fn default_machine(&self, image: Image) -> Result<Machine, Error> {
        let metadata = Metadata::new(self.metadata())?;
        let mut machine = Machine::new(image);
        let memory_bytes = metadata.setting(None, "memory", parse_memory)?;
        machine.memory_bytes = memory_bytes.unwrap_or_else(|| self.memory_bytes());
        let ports = metadata.list("publish")?;
        machine.ports = ports.iter().map(|port| Port::parse(port).map_err(of("publish"))).collect::<Result<_, _>>()?;
        Ok(machine)
    }

    /// Builds what has to be built.
    pub(crate) fn build(&mut self) -> Result<(), Error> {
        match self {
            Self::Package(package) => package.build(Profile::Release).map(drop),
            Self::Image(_) => Ok(()),
            Self::Program(program) => program.build(),
        }
    }

    /// Takes what is built already.
    pub(crate) fn use_built(&mut self) -> Result<(), Error> {
        if let Self::Program(program) = self { program.use_built() } else { Ok(()) }
    }

    /// Its image, which may not be built yet.
    pub(crate) fn image(&self) -> Result<Image, Error> {
        match self {
            Self::Package(package) => Ok(package.image(Profile::Release)),
            Self::Image(image) => Ok(image.clone()),
            Self::Program(program) => linux::image(program.name()),
        }
    }

    /// What its user calls the file that runs.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Package(package) => package.image(Profile::Release).boot.display().to_string(),
            Self::Image(image) => image.boot.display().to_string(),
            Self::Program(program) => program.shown(),
        }
    }

    /// Memory when nobody says how much: the files of a program come on top.
    fn memory_bytes(&self) -> u64 {
        let files = match self {
            Self::Package(_) => 0,
            Self::Image(image) => std::fs::read(&image.boot).map_or(0, |bytes| elf::embedded_module_bytes(&bytes)),
            Self::Program(program) => program.files().module_bytes(),
        };
        MEMORY_BYTES_DEFAULT + files.next_multiple_of(1 << 20)
    }

    /// A machine for it that is given `arguments`.
    pub(crate) fn machine(&self, arguments: &[String]) -> Result<Machine, Error> {
        let mut machine = Machine::new(self.image()?);
        machine.memory_bytes = self.memory_bytes();
        match self {
            // Others would replace those that it has embedded.
            Self::Image(image) if arguments.is_empty() && image.has_embedded_arguments() => {}
            Self::Image(_) | Self::Package(_) => machine = machine.arguments(arguments),
            Self::Program(program) => program.set(&mut machine, arguments),
        }
        Ok(machine)
    }

    /// The files of a Linux program, to be handed to its machine.
    pub(crate) fn module(&self) -> Result<Option<Module>, Error> {
        match self {
            Self::Program(program) => program.pack().map(Some),
            Self::Package(_) | Self::Image(_) => Ok(None),
        }
    }
}

/// Fails when files are given to what has none.
fn no_files(app: &str, files: &FileArgs) -> Result<(), Error> {
    let given = [(files.root.is_some(), "--root"), (!files.volume.is_empty(), "-v"), (files.workdir.is_some(), "-w")];
    match given.iter().find(|(is_given, _)| *is_given) {
        None => Ok(()),
        Some((_, option)) => {
            Err(Error::new(format!("cannot use {option} with {app}: it has a kernel of its own, and no files"))
                .help("--root, -v and -w are for Linux programs"))
        }
    }
}

/// What an image carries by itself.
#[derive(Debug)]
pub(crate) struct Embedded {
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl Embedded {
    fn read(image: &[u8]) -> Self {
        let line = CommandLine::new(elf::embedded_cmdline(image).unwrap_or_default());
        let texts = |key: &'static str| line.all(key).map(|value| value.to_text());
        Self {
            arguments: texts(cmdline::ARG).skip(1).collect(),
            environment: texts(cmdline::ENV)
                .filter_map(|variable| variable.split_once('=').map(|(name, value)| (name.into(), value.into())))
                .collect(),
        }
    }
}
