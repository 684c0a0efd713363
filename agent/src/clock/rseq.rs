//! The kernel's flag that says whether a thread was interrupted.
//!
//! Restartable sequences let a thread name a range of instructions (a descriptor) in a word that the kernel
//! looks at when it takes the thread off its processor, moves it to another one or runs a signal handler on
//! it. Is the thread inside the range, it is sent to an abort handler; is it outside, the kernel clears the
//! word. We name a range that contains no instruction at all: so the word is always cleared, and that is the
//! flag. glibc (from 2.35 on) registers every thread with the kernel and says where the words are; without
//! it, or with `GLIBC_TUNABLES=glibc.pthread.rseq=0`, there is no flag.
//!
//! Another library may put its own descriptor there (a restartable allocator does): then the word is not ours
//! any more, which reads as interrupted and costs us a reading of the thread's clock, nothing else. A sequence
//! of theirs is never cut: they do not call us in the middle of one.

use std::ptr;

use super::counter;

/// What stands before the abort address; the kernel kills the process where it does not. glibc registers this
/// value on x86.
const SIGNATURE: u32 = 0x5305_3053;

/// Where a range would be left to if it had instructions.
#[repr(C, align(16))]
struct Landing {
    signature: u32,
    target: [u32; 3],
}

/// The kernel's `struct rseq_cs`, version 0.
#[repr(C, align(32))]
struct Descriptor {
    version: u32,
    flags: u32,
    start_ip: *const u32,
    post_commit_offset: u64,
    abort_ip: *const u32,
}

// SAFETY: nothing is ever written to it, and the pointers are only addresses for the kernel to compare.
unsafe impl Sync for Descriptor {}

static LANDING: Landing = Landing {
    signature: SIGNATURE,
    target: [0; 3],
};

/// An empty range: no instruction pointer is inside it, and the abort address is not either, as the kernel
/// demands. It is never jumped to, so that it need not be code.
static DESCRIPTOR: Descriptor = Descriptor {
    version: 0,
    flags: 0,
    start_ip: (&raw const LANDING.target).cast(),
    post_commit_offset: 0,
    abort_ip: (&raw const LANDING.target).cast(),
};

/// What the word holds while it is ours and the thread was not interrupted.
pub(super) fn armed() -> u64 {
    ptr::from_ref(&DESCRIPTOR).addr() as u64
}

/// Where a thread's word is, from its thread pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Offset of the word `rseq_cs`.
    pub(super) word: isize,
}

impl Place {
    /// True when the kernel knows the calling thread: the number of its processor is not negative.
    pub(super) fn is_registered_here(self) -> bool {
        const FROM_WORD_TO_CPU_ID_START: isize = -8;
        // SAFETY: the two processor numbers are the 8 bytes before the word, aligned as it is.
        let numbers = unsafe { counter::word(self.word + FROM_WORD_TO_CPU_ID_START) };
        let cpu_id = (numbers >> 32) as u32;
        cpu_id.cast_signed() >= 0
    }

    /// Names our descriptor. True when it was named already and the thread was not interrupted since.
    pub(super) fn arm(self) -> bool {
        // SAFETY: `find` made the place from glibc's own offset. The descriptor is a static of this object,
        // which stays mapped while a thread has it named: the accounts' thread-local destructor, which holds
        // the object in memory, takes it back.
        unsafe { counter::swap_word(self.word, armed()) == armed() }
    }

    /// True while our descriptor is named and the thread was not interrupted.
    pub(super) fn is_armed(self) -> bool {
        // SAFETY: as in `arm`.
        unsafe { counter::word(self.word) == armed() }
    }

    /// Takes our descriptor back; somebody else's stays.
    pub(super) fn disarm(self) {
        if self.is_armed() {
            // SAFETY: as in `arm`; 0 names nothing. Between the two instructions only the kernel can have
            // changed the word, and only to 0.
            unsafe { counter::swap_word(self.word, 0) };
        }
    }
}

/// glibc's registration, or why there is none.
#[cfg(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
))]
pub(super) fn find() -> Result<Place, &'static str> {
    /// `rseq_cs` begins after two processor numbers of 4 bytes.
    const WORD_OFFSET: isize = 8;
    const WORD_END: libc::c_uint = 16;
    // SAFETY: these names are glibc's (libc manual, "Restartable Sequences"): a ptrdiff_t and an unsigned
    // int, constant after start-up. Absent ones give null, which `read` does not follow.
    let (offset, size) = unsafe {
        (
            symbol::<isize>(c"__rseq_offset"),
            symbol::<libc::c_uint>(c"__rseq_size"),
        )
    };
    let (Some(offset), Some(size)) = (offset, size) else {
        return Err(
            "the C library does not register restartable sequences (glibc does from 2.35 on)",
        );
    };
    if size < WORD_END {
        return Err(
            "restartable sequences are switched off (GLIBC_TUNABLES), or the kernel has none",
        );
    }
    let place = Place {
        word: offset + WORD_OFFSET,
    };
    if place.word % 8 != 0 {
        return Err("the area of restartable sequences is not aligned");
    }
    if !place.is_registered_here() {
        return Err("the kernel does not know this thread's area of restartable sequences");
    }
    Ok(place)
}

/// Not on this system.
#[cfg(not(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
)))]
pub(super) fn find() -> Result<Place, &'static str> {
    Err("restartable sequences are read on 64-bit x86 Linux only")
}

/// The value of a variable of the C library. Looked up at run time, so that nothing has to be linked.
///
/// # Safety
/// If the symbol exists, it is a variable of this type that nobody writes any more.
#[cfg(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
))]
unsafe fn symbol<T: Copy>(name: &std::ffi::CStr) -> Option<T> {
    // SAFETY: the name ends with a zero byte.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: null is refused; for others the caller vouches.
    unsafe { address.cast::<T>().as_ref().copied() }
}

/// What the word holds while another library's descriptor is named.
#[cfg(test)]
pub(super) fn foreign() -> u64 {
    static FOREIGN: Descriptor = Descriptor {
        version: 0,
        flags: 0,
        start_ip: (&raw const LANDING.target).cast(),
        post_commit_offset: 0,
        abort_ip: (&raw const LANDING.target).cast(),
    };
    ptr::from_ref(&FOREIGN).addr() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_is_what_the_kernel_demands() {
        let (start, abort) = (DESCRIPTOR.start_ip.addr(), DESCRIPTOR.abort_ip.addr());
        assert_eq!(size_of::<Descriptor>(), 32);
        assert_eq!(armed() % 32, 0);
        assert_eq!((DESCRIPTOR.version, DESCRIPTOR.flags), (0, 0));
        assert_eq!(DESCRIPTOR.post_commit_offset, 0, "contains nothing");
        // The kernel's own test for an abort address inside the range.
        assert!((abort.wrapping_sub(start) as u64) >= DESCRIPTOR.post_commit_offset);
        assert_eq!(abort - 4, (&raw const LANDING.signature).addr());
        assert_eq!(LANDING.signature, SIGNATURE);
        assert_eq!(LANDING.target, [0; 3]);
    }

    #[test]
    fn arming_is_seen_and_taken_back_and_a_foreign_value_stays() {
        let Ok(place) = find() else { return };
        crate::testing::on_thread(|| {
            assert!(place.is_registered_here());
            assert!(!place.is_armed());
            // Not armed before.
            assert!(!place.arm());
            // An interruption right here is possible, a hundred in a row are not.
            assert!((0..100).any(|_| place.arm() && place.is_armed()));
            place.disarm();
            assert!(!place.is_armed());
            let foreign = foreign();
            // SAFETY: the place is glibc's, and the descriptor is as valid as ours and static.
            unsafe { counter::swap_word(place.word, foreign) };
            assert!(!place.is_armed());
            place.disarm();
            // SAFETY: as above.
            let left = unsafe { counter::swap_word(place.word, 0) };
            assert!(left == foreign || left == 0, "{left:#x}");
        });
    }
}
