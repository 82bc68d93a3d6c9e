//! The host's energy, where it can be read: RAPL's packages by Linux's powercap.

use std::fs;
use std::path::PathBuf;

/// The packages of this host.
pub(super) struct Energy {
    packages: Vec<PathBuf>,
}

impl Energy {
    /// `None` where there are none, or they are not for us to read.
    pub(super) fn find() -> Option<Energy> {
        let zones = fs::read_dir("/sys/class/powercap").ok()?;
        // `intel-rapl:0` is a package, `intel-rapl:0:0` a part of it.
        let is_package = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("intel-rapl:") && name.matches(':').count() == 1
        };
        let packages: Vec<PathBuf> =
            zones.flatten().map(|zone| zone.path()).filter(is_package).map(|zone| zone.join("energy_uj")).collect();
        let energy = Energy { packages };
        energy.joules().is_some().then_some(energy)
    }

    /// Joules since some time; the counter starts anew now and then, and a difference that is less than nothing is none.
    pub(super) fn joules(&self) -> Option<f64> {
        let each = self.packages.iter().map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
        let sum: u64 = each.sum::<Option<u64>>()?;
        (!self.packages.is_empty()).then_some(sum as f64 / 1e6)
    }
}
