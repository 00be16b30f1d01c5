//! Asks the kernel for short turns. A thread that seldom computes and is waited for - it answers, or it ends calls that are over their
//! time - then gets a processor at once, instead of after the turns of those who compute. What share of the processor it gets stays
//! the same, so this takes no privilege. Linux 6.12 and newer; elsewhere nothing changes.

/// The shortest that the kernel gives.
const TURN_NS: u64 = 100_000;

/// For the calling thread.
#[cfg(target_os = "linux")]
pub fn prefer_short_turns() {
    // The layout that the kernel knew first: it is still taken, and names all that is needed.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        /// For threads of the ordinary class: their turn, in nanoseconds.
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    const SIZE: u32 = 48;
    const _: () = assert!(size_of::<Attributes>() == SIZE as usize, "the kernel's layout");
    let nice = rustix::process::getpriority_process(None).unwrap_or(0);
    let attributes =
        Attributes { size: SIZE, policy: 0, flags: 0, nice, priority: 0, runtime: TURN_NS, deadline: 0, period: 0 };
    #[expect(
        unsafe_code,
        reason = "no library has this call; the kernel reads what is pointed to and keeps none of it"
    )]
    // SAFETY: see the reason; `size` is the size of what is pointed to.
    let refused = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if refused != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "a thread keeps the length of its turns");
    }
}

#[cfg(not(target_os = "linux"))]
pub fn prefer_short_turns() {}
