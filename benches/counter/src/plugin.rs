//! The plugin QEMU loads: instruments each translated block, adds to the mapped counters.
#![expect(unsafe_code, reason = "exports the symbols that QEMU looks for, and maps the counter file")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::OpenOptions;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use crate::decode::classify;
use crate::layout::{Counter, DEVICES_MAX, MAGIC, MARKERS_MAX, MarkerSlot, Shared, WATCHES_MAX, load_name, store_name};
use crate::profile::Recorder;
use crate::qemu::{self, Api, Info, PluginId};

/// The API version we ask for, read by QEMU before it installs us. Chosen when the object is loaded.
#[unsafe(no_mangle)]
pub(crate) static qemu_plugin_version: AtomicI32 = AtomicI32::new(1);

/// Runs when the object is loaded, before QEMU reads `qemu_plugin_version`.
#[used]
#[unsafe(link_section = ".init_array")]
static CHOOSE_VERSION: extern "C" fn() = choose_version;

extern "C" fn choose_version() {
    if !qemu::has_inline_additions() {
        qemu_plugin_version.store(2, Ordering::Relaxed);
    }
}

/// Everything the callbacks need.
struct Plugin {
    api: Api,
    shared: &'static Shared,
    options: Options,
    profile: Option<Recorder>,
    started: Instant,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// The `-plugin` line's `key=value` pairs.
struct Options {
    /// Count device memory accesses: a callback on each load and store, so slow.
    devices: bool,
    /// Count whole blocks: faster, but a block that a fault leaves early counts in full.
    blocks: bool,
    /// Whose instructions count, where there are several processors.
    processors: Processors,
    marker_port: u8,
    /// Addresses whose first execution is recorded, as `is_watched` compares them.
    watches: Vec<u64>,
    /// File for the executions of each address.
    profile: Option<String>,
}

/// Which virtual processors' instructions are counted. QEMU adds to a counter without a lock, which loses some when
/// several run at once: all but `One` are counted by calls, whole blocks at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Processors {
    /// The machine has one.
    One,
    /// This one alone.
    Only(u32),
    /// All of several.
    All,
}

/// The step in which the kernel chooses its virtual base.
const BASE_STEP_BYTES: u64 = 2 << 20;

impl Options {
    fn parse(arguments: &[&str]) -> Result<(Options, String), String> {
        let mut options = Options {
            devices: false,
            blocks: false,
            processors: Processors::One,
            marker_port: 0xf4,
            watches: Vec::new(),
            profile: None,
        };
        let mut out = None;
        for argument in arguments {
            match argument.split_once('=') {
                Some(("out", path)) => out = Some(path.to_owned()),
                Some(("profile", path)) => options.profile = Some(path.to_owned()),
                Some(("devices", value)) => options.devices = is_on(value),
                Some(("blocks", value)) => options.blocks = is_on(value),
                Some(("processors", "all")) => options.processors = Processors::All,
                Some(("processors", value)) => {
                    let number = value.parse().map_err(|_| format!("processors={value}: not a number, or all"))?;
                    options.processors = Processors::Only(number);
                }
                Some(("marker", value)) => {
                    let port = hexadecimal(value).and_then(|port| u8::try_from(port).ok());
                    options.marker_port = port.ok_or(format!("marker={value}: not a port 0x00..0xff"))?;
                }
                Some(("watch", value)) if options.watches.len() < WATCHES_MAX => {
                    options.watches.push(hexadecimal(value).ok_or(format!("watch={value}: not an address 0x.."))?);
                }
                _ => {
                    return Err(format!(
                        "unknown option {argument}: out=FILE, devices=, blocks=, processors=, marker=0xPORT, watch=0xADDRESS, profile=FILE"
                    ));
                }
            }
        }
        Ok((options, out.ok_or("out=FILE is needed")?))
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// True for the watched address itself, and for where the kernel's random base moved it.
fn is_watched(watched: u64, address: u64) -> bool {
    address == watched || (address >> 63 == 1 && address % BASE_STEP_BYTES == watched % BASE_STEP_BYTES)
}

fn is_on(value: &str) -> bool {
    matches!(value, "on" | "true" | "1" | "yes")
}

/// Called once by QEMU; anything but 0 ends QEMU with a message.
///
/// # Safety
/// QEMU passes its description and `count` C strings.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    info: *const Info,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: by the contract above.
    let (info, arguments) = unsafe {
        let count = usize::try_from(count).unwrap_or(0);
        (
            &*info,
            (0..count).map(|index| CStr::from_ptr(*arguments.add(index)).to_str().unwrap_or("?")).collect::<Vec<_>>(),
        )
    };
    match install(info, &arguments) {
        Ok(plugin) => {
            let plugin = PLUGIN.get_or_init(|| plugin);
            plugin.api.on_block(id, block_translated);
            plugin.api.on_idle(id, processor_idle);
            0
        }
        Err(message) => {
            eprintln!("toro-counter: {message}");
            1
        }
    }
}

fn install(info: &Info, arguments: &[&str]) -> Result<Plugin, String> {
    let (options, out) = Options::parse(arguments)?;
    let api = Api::load(info)?;
    let shared = map(&out).map_err(|error| format!("{out}: {error}"))?;
    let profile =
        options.profile.as_deref().map(|path| Recorder::create(path).map_err(|error| format!("{path}: {error}")));
    Ok(Plugin { api, shared, profile: profile.transpose()?, options, started: Instant::now() })
}

fn map(path: &str) -> std::io::Result<&'static Shared> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(size_of::<Shared>() as u64)?;
    // SAFETY: the file is ours, as long as `Shared`, and nobody shortens it while QEMU runs.
    let mapping = Box::leak(Box::new(unsafe { memmap2::MmapMut::map_mut(&file) }?));
    // SAFETY: a mapping is page-aligned and as long as `Shared`, which is atomic words all through.
    let shared = unsafe { &*mapping.as_mut_ptr().cast::<Shared>() };
    shared.magic.store(MAGIC, Ordering::Release);
    Ok(shared)
}

extern "C" fn block_translated(_id: PluginId, block: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let (api, shared) = (&plugin.api, plugin.shared);
    let mut length = 0;
    for instruction in api.instructions(block) {
        length += 1;
        let (bytes, size) = api.bytes(instruction);
        let class = classify(&bytes[..size]);
        if !plugin.options.blocks && plugin.options.processors == Processors::One {
            api.count(instruction, shared.counter(Counter::Instructions));
        }
        if let Some(counter) = class.counter {
            api.count(instruction, shared.counter(counter));
        }
        if class.out_port == Some(plugin.options.marker_port) {
            api.call(instruction, marker_executed, std::ptr::null_mut());
        }
        let address = api.address(instruction);
        for (slot, &watched) in shared.watches.iter().zip(&plugin.options.watches) {
            if is_watched(watched, address) {
                api.call(instruction, watch_reached, std::ptr::from_ref(slot).cast_mut().cast());
            }
        }
        if let Some(word) = plugin.profile.as_ref().and_then(|profile| profile.word(address)) {
            api.count(instruction, word);
        }
        if plugin.options.devices {
            api.call_on_memory(instruction, memory_accessed);
        }
    }
    if plugin.options.processors != Processors::One {
        api.call_block(block, block_executed, length);
    } else if plugin.options.blocks {
        api.count_block(block, shared.counter(Counter::Instructions), length, block_executed);
    }
}

extern "C" fn block_executed(cpu: c_uint, length: *mut c_void) {
    if let Some(plugin) = PLUGIN.get()
        && !matches!(plugin.options.processors, Processors::Only(number) if number != cpu)
    {
        plugin.shared.counter(Counter::Instructions).fetch_add(length.addr() as u64, Ordering::Relaxed);
    }
}

extern "C" fn processor_idle(_id: PluginId, _cpu: c_uint) {
    if let Some(plugin) = PLUGIN.get() {
        plugin.shared.counter(Counter::Idle).fetch_add(1, Ordering::Relaxed);
    }
}

extern "C" fn marker_executed(_cpu: c_uint, _user_data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let markers = plugin.shared.counter(Counter::Markers);
    let index = usize::try_from(markers.load(Ordering::Relaxed)).unwrap_or(MARKERS_MAX);
    if let Some(slot) = plugin.shared.markers.get(index) {
        stamp(plugin, slot);
    }
    markers.fetch_add(1, Ordering::Release);
}

extern "C" fn watch_reached(_cpu: c_uint, slot: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    // SAFETY: `block_translated` passes the address of a slot in the mapped file, which is mapped for good.
    let slot = unsafe { &*slot.cast::<MarkerSlot>() };
    if slot.instructions.load(Ordering::Relaxed) == 0 {
        stamp(plugin, slot);
    }
}

fn stamp(plugin: &Plugin, slot: &MarkerSlot) {
    let host_ns = u64::try_from(plugin.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    slot.host_ns.store(host_ns, Ordering::Relaxed);
    let instructions = plugin.shared.counter(Counter::Instructions).load(Ordering::Relaxed);
    slot.instructions.store(instructions.max(1), Ordering::Release);
}

extern "C" fn memory_accessed(_cpu: c_uint, access: u32, address: u64, _user_data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    plugin.api.device_access(access, address, |name, physical, is_store| {
        let shared = plugin.shared;
        let total = if is_store { Counter::DeviceWrite } else { Counter::DeviceRead };
        shared.counter(total).fetch_add(1, Ordering::Relaxed);
        let name = name.map(CStr::to_bytes).filter(|name| !name.is_empty() && !name.starts_with(b"anon"));
        // A region without a name is told by its page.
        let name = name.map_or_else(|| format!("device@{:#x}", physical & !0xfff).into_bytes(), <[u8]>::to_vec);
        if let Some(slot) = device_slot(shared, &name) {
            let word = if is_store { &shared.devices[slot].writes } else { &shared.devices[slot].reads };
            word.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// The table entry of a device, made when it is new and there is room.
fn device_slot(shared: &Shared, name: &[u8]) -> Option<usize> {
    let used = usize::try_from(shared.devices_used.load(Ordering::Relaxed)).unwrap_or(DEVICES_MAX);
    let name_text = String::from_utf8_lossy(name);
    let cut = |text: &str| text.chars().take(crate::layout::NAME_WORDS * 8).collect::<String>();
    if let Some(slot) = shared.devices[..used].iter().position(|device| load_name(&device.name) == cut(&name_text)) {
        return Some(slot);
    }
    let slot = shared.devices.get(used)?;
    store_name(&slot.name, name);
    shared.devices_used.store(used as u64 + 1, Ordering::Release);
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_what_is_wrong() {
        let (options, out) = Options::parse(&["out=/tmp/x", "devices=on", "marker=0xe9"]).unwrap();
        assert_eq!((out.as_str(), options.devices, options.marker_port), ("/tmp/x", true, 0xe9));
        assert!(Options::parse(&["devices=on"]).is_err_and(|message| message.contains("out=FILE")));
        assert!(Options::parse(&["out=x", "speed=9"]).is_err_and(|message| message.contains("speed=9")));
        assert!(Options::parse(&["out=x", "marker=0xzz"]).is_err());
        assert!(Options::parse(&["out=x", "watch=12"]).is_err());
    }

    #[test]
    fn a_watched_address_is_found_at_any_base() {
        assert!(is_watched(0x10_1234, 0x10_1234));
        assert!(is_watched(0x10_1234, 0xffff_ffff_8410_1234));
        assert!(!is_watched(0x10_1234, 0x30_1234));
        assert!(!is_watched(0x10_1234, 0xffff_ffff_8410_1235));
    }
}
