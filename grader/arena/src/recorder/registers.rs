//! The registers of a stopped thread, as far as calls are changed in them; the one place that knows the architecture.

use std::mem::size_of;

use super::ptrace::{Entry, register_set, set_register_set};

/// NT_PRSTATUS of linux/elf.h: the general registers.
const GENERAL: i32 = 1;

/// The registers of a stopped thread.
#[derive(Clone, Copy, Debug)]
pub struct Registers(libc::user_regs_struct);

/// Reads them.
pub fn get(pid: i32) -> Option<Registers> {
    // SAFETY: user_regs_struct is plain data, valid as zeros.
    let mut raw: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the bytes of `raw` are valid to write, and every pattern of them is a valid value.
    let bytes = unsafe {
        std::slice::from_raw_parts_mut((&raw mut raw).cast::<u8>(), size_of::<libc::user_regs_struct>())
    };
    register_set(pid, GENERAL, bytes).then_some(Registers(raw))
}

/// Writes them.
pub fn set(pid: i32, registers: &Registers) -> bool {
    let raw = &raw const registers.0;
    // SAFETY: the bytes of a live value of plain data.
    let bytes = unsafe { std::slice::from_raw_parts(raw.cast::<u8>(), size_of::<libc::user_regs_struct>()) };
    set_register_set(pid, GENERAL, bytes)
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// The call and its arguments as they stand in the registers.
    pub fn entry(&self) -> Entry {
        let r = &self.0;
        Entry {
            number: r.orig_rax as i64,
            arguments: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
            instruction: r.rip,
        }
    }

    /// The value of an argument.
    pub fn argument(&mut self, index: usize) -> &mut u64 {
        let r = &mut self.0;
        match index {
            0 => &mut r.rdi,
            1 => &mut r.rsi,
            2 => &mut r.rdx,
            3 => &mut r.r10,
            4 => &mut r.r8,
            _ => &mut r.r9,
        }
    }

    /// What the call returns.
    pub fn set_result(&mut self, result: i64) {
        self.0.rax = result as u64;
    }

    /// Which call is made, -1 for none; at an entry or exit. Returns whether that is possible here.
    pub fn set_number(&mut self, _pid: i32, number: i64) -> bool {
        self.0.orig_rax = number as u64;
        true
    }

    /// The stack pointer.
    pub fn stack(&self) -> u64 {
        self.0.rsp
    }

    /// Takes out the flag that stops the thread after every instruction.
    pub fn clear_trap_flag(&mut self) {
        const TRAP: u64 = 1 << 8;
        self.0.eflags &= !TRAP;
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    /// The call and its arguments as they stand in the registers.
    pub fn entry(&self) -> Entry {
        let r = &self.0.regs;
        Entry { number: r[8] as i64, arguments: [r[0], r[1], r[2], r[3], r[4], r[5]], instruction: self.0.pc }
    }

    /// The value of an argument. The first shares its register with the result.
    pub fn argument(&mut self, index: usize) -> &mut u64 {
        &mut self.0.regs[index]
    }

    /// What the call returns.
    pub fn set_result(&mut self, result: i64) {
        self.0.regs[0] = result as u64;
    }

    /// Which call is made, -1 for none; at an entry or exit. Returns whether that is possible here.
    pub fn set_number(&mut self, pid: i32, number: i64) -> bool {
        // NT_ARM_SYSTEM_CALL of linux/elf.h: the number has a register set of its own.
        set_register_set(pid, 0x404, &(number as i32).to_ne_bytes())
    }

    /// The stack pointer.
    pub fn stack(&self) -> u64 {
        self.0.sp
    }

    /// Nothing to do: here a program's flags do not tell that it is stepped.
    pub fn clear_trap_flag(&mut self) {}
}
