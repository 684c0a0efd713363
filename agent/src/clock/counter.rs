//! The processor's time stamp counter and the thread's word that the kernel clears: the few instructions that
//! Rust has no words for. On other processors and systems nothing here is usable, and [`usable`] says so.

#[cfg(all(
    feature = "bench",
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
))]
pub(super) use x86_64_linux::may_read;
#[cfg(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
))]
pub(super) use x86_64_linux::{swap_word, tsc, tsc_then_word, usable, word};

#[cfg(all(
    feature = "bench",
    not(all(
        target_arch = "x86_64",
        target_os = "linux",
        target_pointer_width = "64"
    ))
))]
pub(super) use elsewhere::usable as may_read;
#[cfg(not(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
)))]
pub(super) use elsewhere::{swap_word, tsc, tsc_then_word, usable, word};

/// Offset of a word that holds the thread pointer itself (the ABI puts it there): always readable, never
/// changed by the kernel. It stands in where there is no flag to look at.
pub(super) const SELF_OFFSET: isize = 0;

#[cfg(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
))]
mod x86_64_linux {
    use std::arch::asm;

    /// The counter.
    #[inline]
    pub(in crate::clock) fn tsc() -> u64 {
        // SAFETY: rdtsc is there on every x86-64; `usable` makes sure that the process may execute it before
        // the clock takes this path.
        unsafe { std::arch::x86_64::_rdtsc() }
    }

    /// The counter, and after it a word at an offset from the thread pointer.
    ///
    /// The order is what makes a reading right: an interruption before the counter is read shows in the word,
    /// one after it does not concern the piece. Interrupts are precise, so the order of the instructions in
    /// the program is the order that counts, whatever the processor does out of order.
    ///
    /// # Safety
    /// `offset` is [`SELF_OFFSET`](super::SELF_OFFSET) or that of the word `rseq_cs` of glibc's registration.
    #[inline]
    pub(in crate::clock) unsafe fn tsc_then_word(offset: isize) -> (u64, u64) {
        let (low, high, word): (u64, u64, u64);
        // SAFETY: fs holds the thread pointer (System V ABI for x86-64), and the caller vouches for a word of
        // 8 aligned bytes at that offset which lives as long as the thread.
        unsafe {
            asm!(
                "rdtsc",
                "mov {word}, qword ptr fs:[{offset}]",
                offset = in(reg) offset,
                word = lateout(reg) word,
                out("rax") low,
                out("rdx") high,
                options(nostack, readonly, preserves_flags)
            );
        }
        (high << 32 | low, word)
    }

    /// A word at an offset from the thread pointer.
    ///
    /// # Safety
    /// As [`tsc_then_word`].
    #[inline]
    pub(in crate::clock) unsafe fn word(offset: isize) -> u64 {
        let word: u64;
        // SAFETY: as in `tsc_then_word`.
        unsafe {
            asm!(
                "mov {word}, qword ptr fs:[{offset}]",
                offset = in(reg) offset,
                word = lateout(reg) word,
                options(nostack, readonly, preserves_flags)
            );
        }
        word
    }

    /// Puts a value there and returns what was there before, in one instruction: no interruption falls between.
    ///
    /// # Safety
    /// `offset` is that of the word `rseq_cs` of glibc's registration, and `value` is 0 or the address of a
    /// descriptor that the kernel accepts and that outlives the thread's use of it.
    pub(in crate::clock) unsafe fn swap_word(offset: isize, value: u64) -> u64 {
        let before: u64;
        // SAFETY: the word is 8 aligned writable bytes (see `tsc_then_word`); only this thread and the kernel
        // on its behalf access it.
        unsafe {
            asm!(
                "xchg qword ptr fs:[{offset}], {value}",
                offset = in(reg) offset,
                value = inout(reg) value => before,
                options(nostack, preserves_flags)
            );
        }
        before
    }

    /// Whether the counter runs at one rate on all cores and may be read; else why not.
    pub(in crate::clock) fn usable() -> Result<(), &'static str> {
        const FEATURES: u32 = 0x8000_0007;
        const INVARIANT_TSC: u32 = 1 << 8;
        #[allow(unused_unsafe)] // safe from Rust 1.94 on
        // SAFETY: cpuid is there on every x86-64.
        let (highest, features) = unsafe {
            let highest = std::arch::x86_64::__cpuid(0x8000_0000).eax;
            (highest, std::arch::x86_64::__cpuid(FEATURES).edx)
        };
        if highest < FEATURES || features & INVARIANT_TSC == 0 {
            return Err(
                "the processor does not promise that its time stamp counter keeps one rate",
            );
        }
        may_read()
    }

    /// A sandbox may have forbidden the instruction.
    pub(in crate::clock) fn may_read() -> Result<(), &'static str> {
        let mut mode: libc::c_int = 0;
        // SAFETY: PR_GET_TSC writes one int to the address given, which is valid for the call.
        let result = unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut mode) };
        if result == 0 && mode == libc::PR_TSC_SIGSEGV {
            return Err("the process may not read the time stamp counter (PR_SET_TSC)");
        }
        Ok(())
    }
}

#[cfg(not(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
)))]
mod elsewhere {
    #[inline]
    pub(in crate::clock) fn tsc() -> u64 {
        0
    }

    /// Nothing; the word never equals what a clock waits for.
    ///
    /// # Safety
    /// Always safe here; the face is that of x86-64.
    #[inline]
    pub(in crate::clock) unsafe fn tsc_then_word(_offset: isize) -> (u64, u64) {
        (0, u64::MAX)
    }

    /// Nothing.
    ///
    /// # Safety
    /// Always safe here; the face is that of x86-64.
    #[inline]
    pub(in crate::clock) unsafe fn word(_offset: isize) -> u64 {
        u64::MAX
    }

    /// Nothing.
    ///
    /// # Safety
    /// Always safe here; the face is that of x86-64.
    pub(in crate::clock) unsafe fn swap_word(_offset: isize, _value: u64) -> u64 {
        u64::MAX
    }

    pub(in crate::clock) fn usable() -> Result<(), &'static str> {
        Err("the fast clock knows 64-bit x86 on Linux only")
    }
}
