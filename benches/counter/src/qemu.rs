//! QEMU's plugin functions, looked up in the process that loaded us.
//!
//! Looked up rather than linked, so that one shared object suits QEMU 7.2 to 10: API version 2
//! (QEMU 9.0) dropped the inline additions of version 1, and version 3 changed how bytes are read.
#![expect(unsafe_code, reason = "calls into QEMU through the plugin API's C functions")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

/// `qemu_plugin_id_t`.
pub(crate) type PluginId = u64;
/// Callback on an instruction or block that runs.
pub(crate) type ExecCallback = extern "C" fn(c_uint, *mut c_void);
/// Callback on a memory access: processor, access description, virtual address, user data.
pub(crate) type MemoryCallback = extern "C" fn(c_uint, u32, u64, *mut c_void);

/// `QEMU_PLUGIN_CB_NO_REGS`.
const NO_REGISTERS: c_int = 0;
/// `QEMU_PLUGIN_MEM_RW`.
const MEMORY_READ_WRITE: c_int = 3;
/// `QEMU_PLUGIN_INLINE_ADD_U64`.
const INLINE_ADD_U64: c_int = 0;
/// API version from which instruction bytes are copied out instead of pointed at.
const COPIES_BYTES_SINCE: c_int = 3;
/// Longest x86 instruction.
const INSTRUCTION_BYTES_MAX: usize = 15;

/// `qemu_info_t`.
#[repr(C)]
pub(crate) struct Info {
    target_name: *const c_char,
    version_min: c_int,
    version_now: c_int,
    // more follows, unused here
}

type Block = *mut c_void;
type Instruction = *mut c_void;

/// The functions in use.
pub(crate) struct Api {
    copies_bytes: bool,
    on_block: unsafe extern "C" fn(PluginId, extern "C" fn(PluginId, Block)),
    on_idle: unsafe extern "C" fn(PluginId, extern "C" fn(PluginId, c_uint)),
    block_length: unsafe extern "C" fn(Block) -> usize,
    block_instruction: unsafe extern "C" fn(Block, usize) -> Instruction,
    instruction_bytes: *const c_void,
    instruction_address: unsafe extern "C" fn(Instruction) -> u64,
    instruction_size: unsafe extern "C" fn(Instruction) -> usize,
    add_on_block: Option<unsafe extern "C" fn(Block, c_int, *mut c_void, u64)>,
    add_on_instruction: Option<unsafe extern "C" fn(Instruction, c_int, *mut c_void, u64)>,
    call_on_block: unsafe extern "C" fn(Block, ExecCallback, c_int, *mut c_void),
    call_on_instruction: unsafe extern "C" fn(Instruction, ExecCallback, c_int, *mut c_void),
    call_on_memory: unsafe extern "C" fn(Instruction, MemoryCallback, c_int, c_int, *mut c_void),
    hardware_address: unsafe extern "C" fn(u32, u64) -> *mut c_void,
    address_is_device: unsafe extern "C" fn(*const c_void) -> bool,
    address_device_name: unsafe extern "C" fn(*const c_void) -> *const c_char,
    address_physical: unsafe extern "C" fn(*const c_void) -> u64,
    access_is_store: unsafe extern "C" fn(u32) -> bool,
}

// SAFETY: plain function addresses, never changed after `load`.
unsafe impl Send for Api {}
// SAFETY: as above.
unsafe impl Sync for Api {}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: `dlsym` only reads the name; a symbol that is not there gives null.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// True when QEMU has the inline additions of API version 1.
pub(crate) fn has_inline_additions() -> bool {
    symbol(c"qemu_plugin_register_vcpu_insn_exec_inline").is_some()
}

macro_rules! function {
    ($name:literal) => {{
        let address = symbol($name).ok_or(concat!(stringify!($name), " is not in this QEMU"))?;
        // SAFETY: the plugin header declares this name with the signature of the field it is stored in.
        unsafe { std::mem::transmute::<*mut c_void, _>(address) }
    }};
}

macro_rules! optional_function {
    ($name:literal) => {
        // SAFETY: as for `function!`; an absent function is `None`.
        symbol($name).map(|address| unsafe { std::mem::transmute::<*mut c_void, _>(address) })
    };
}

impl Api {
    /// Finds every function, or says which one is missing.
    #[expect(clippy::missing_transmute_annotations, reason = "the field that it is stored in names the type")]
    pub(crate) fn load(info: &Info) -> Result<Api, &'static str> {
        Ok(Api {
            copies_bytes: info.version_now >= COPIES_BYTES_SINCE,
            on_block: function!(c"qemu_plugin_register_vcpu_tb_trans_cb"),
            on_idle: function!(c"qemu_plugin_register_vcpu_idle_cb"),
            block_length: function!(c"qemu_plugin_tb_n_insns"),
            block_instruction: function!(c"qemu_plugin_tb_get_insn"),
            instruction_bytes: symbol(c"qemu_plugin_insn_data").ok_or("qemu_plugin_insn_data is not in this QEMU")?,
            instruction_address: function!(c"qemu_plugin_insn_vaddr"),
            instruction_size: function!(c"qemu_plugin_insn_size"),
            add_on_block: optional_function!(c"qemu_plugin_register_vcpu_tb_exec_inline"),
            add_on_instruction: optional_function!(c"qemu_plugin_register_vcpu_insn_exec_inline"),
            call_on_block: function!(c"qemu_plugin_register_vcpu_tb_exec_cb"),
            call_on_instruction: function!(c"qemu_plugin_register_vcpu_insn_exec_cb"),
            call_on_memory: function!(c"qemu_plugin_register_vcpu_mem_cb"),
            hardware_address: function!(c"qemu_plugin_get_hwaddr"),
            address_is_device: function!(c"qemu_plugin_hwaddr_is_io"),
            address_device_name: function!(c"qemu_plugin_hwaddr_device_name"),
            address_physical: function!(c"qemu_plugin_hwaddr_phys_addr"),
            access_is_store: function!(c"qemu_plugin_mem_is_store"),
        })
    }

    /// Asks for a call whenever QEMU translates a block.
    pub(crate) fn on_block(&self, id: PluginId, callback: extern "C" fn(PluginId, Block)) {
        // SAFETY: `id` came from QEMU, the callback is a function of this object, which stays loaded.
        unsafe { (self.on_block)(id, callback) }
    }

    /// Asks for a call whenever a virtual processor goes to sleep.
    pub(crate) fn on_idle(&self, id: PluginId, callback: extern "C" fn(PluginId, c_uint)) {
        // SAFETY: as for `on_block`.
        unsafe { (self.on_idle)(id, callback) }
    }

    /// The instructions of a block that is being translated.
    pub(crate) fn instructions(&self, block: Block) -> impl Iterator<Item = Instruction> + '_ {
        // SAFETY: QEMU gave `block` to the callback that is running now.
        let length = unsafe { (self.block_length)(block) };
        // SAFETY: the index is below the block's length.
        (0..length).map(move |index| unsafe { (self.block_instruction)(block, index) })
    }

    /// The virtual address of an instruction.
    pub(crate) fn address(&self, instruction: Instruction) -> u64 {
        // SAFETY: `instruction` belongs to the block that is being translated.
        unsafe { (self.instruction_address)(instruction) }
    }

    /// The bytes of an instruction.
    pub(crate) fn bytes(&self, instruction: Instruction) -> ([u8; INSTRUCTION_BYTES_MAX], usize) {
        // SAFETY: `instruction` belongs to the block that is being translated.
        let size = unsafe { (self.instruction_size)(instruction) }.min(INSTRUCTION_BYTES_MAX);
        let mut bytes = [0; INSTRUCTION_BYTES_MAX];
        if self.copies_bytes {
            // SAFETY: since API version 3 the function has this signature; `bytes` holds `size` bytes.
            unsafe {
                let copy: unsafe extern "C" fn(Instruction, *mut c_void, usize) -> usize =
                    std::mem::transmute(self.instruction_bytes);
                copy(instruction, bytes.as_mut_ptr().cast(), size);
            }
        } else {
            // SAFETY: before version 3 it returned a pointer to `size` bytes that live as long as the callback.
            unsafe {
                let point: unsafe extern "C" fn(Instruction) -> *const u8 = std::mem::transmute(self.instruction_bytes);
                bytes[..size].copy_from_slice(std::slice::from_raw_parts(point(instruction), size));
            }
        }
        (bytes, size)
    }

    /// Adds one to `word` each time the instruction runs.
    pub(crate) fn count(&self, instruction: Instruction, word: &'static std::sync::atomic::AtomicU64) {
        let address: *mut c_void = word.as_ptr().cast();
        match self.add_on_instruction {
            // SAFETY: the word lives for ever, and is eight aligned bytes as the addition needs.
            Some(add) => unsafe { add(instruction, INLINE_ADD_U64, address, 1) },
            None => self.call(instruction, add_one, address),
        }
    }

    /// Adds `length` to `word` each time the block is entered; `add_length` must do so when QEMU cannot.
    pub(crate) fn count_block(
        &self,
        block: Block,
        word: &'static std::sync::atomic::AtomicU64,
        length: u64,
        add_length: ExecCallback,
    ) {
        match self.add_on_block {
            // SAFETY: as for `count`.
            Some(add) => unsafe { add(block, INLINE_ADD_U64, word.as_ptr().cast(), length) },
            None => self.call_block(block, add_length, length),
        }
    }

    /// Calls `callback` with `length` each time the block is entered.
    pub(crate) fn call_block(&self, block: Block, callback: ExecCallback, length: u64) {
        let length = std::ptr::without_provenance_mut(length as usize);
        // SAFETY: the length travels as the user data and is never followed as a pointer.
        unsafe { (self.call_on_block)(block, callback, NO_REGISTERS, length) }
    }

    /// Calls `callback` each time the instruction runs.
    pub(crate) fn call(&self, instruction: Instruction, callback: ExecCallback, user_data: *mut c_void) {
        // SAFETY: the callback is a function of this object and knows what `user_data` is.
        unsafe { (self.call_on_instruction)(instruction, callback, NO_REGISTERS, user_data) }
    }

    /// Calls `callback` on each memory access of the instruction.
    pub(crate) fn call_on_memory(&self, instruction: Instruction, callback: MemoryCallback) {
        // SAFETY: as for `call`, without user data.
        unsafe {
            (self.call_on_memory)(instruction, callback, NO_REGISTERS, MEMORY_READ_WRITE, std::ptr::null_mut());
        }
    }

    /// What a memory access of the running callback reached, when it is a device.
    pub(crate) fn device_access<R>(
        &self,
        access: u32,
        address: u64,
        then: impl FnOnce(Option<&CStr>, u64, bool) -> R,
    ) -> Option<R> {
        // SAFETY: called from inside a memory callback with that callback's arguments; the handle, which
        // may be null, is used only there. The name, when there is one, is a string that QEMU keeps.
        unsafe {
            let handle = (self.hardware_address)(access, address);
            if handle.is_null() || !(self.address_is_device)(handle) {
                return None;
            }
            let name = (self.address_device_name)(handle);
            let name = (!name.is_null()).then(|| CStr::from_ptr(name));
            Some(then(name, (self.address_physical)(handle), (self.access_is_store)(access)))
        }
    }
}

extern "C" fn add_one(_cpu: c_uint, word: *mut c_void) {
    // SAFETY: `count` passes the address of a word that lives for ever.
    let word = unsafe { &*word.cast::<std::sync::atomic::AtomicU64>() };
    word.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}
