//! What the system says about this process.

use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;

/// Read at each scrape; what the system does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// User and system time.
    pub(super) cpu: Option<Duration>,
    /// Bytes.
    pub(super) resident: Option<u64>,
    /// Bytes.
    pub(super) virtual_memory: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

impl Process {
    /// Reads `/proc/self`: file system calls of a kernel's memory, short but not for an async task.
    pub(super) fn read() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu: usage.map(|usage| duration(usage.user_time()) + duration(usage.system_time())),
            resident: field(&status, "VmRSS:").map(|kib| kib * 1024),
            virtual_memory: field(&status, "VmSize:").map(|kib| kib * 1024),
            threads: field(&status, "Threads:"),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        }
    }
}

fn duration(time: TimeVal) -> Duration {
    let micros = i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_usec());
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// The number after `name` in `/proc/self/status`, in KiB where it is a size.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_fds() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the directory that is being read.
    u64::try_from(entries).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let process = Process::read();
        assert!(process.resident.is_some_and(|bytes| bytes > 1 << 20), "{process:?}");
        assert!(process.virtual_memory >= process.resident, "{process:?}");
        assert!(process.threads >= Some(1) && process.open_fds >= Some(1), "{process:?}");
        assert!(process.max_fds >= process.open_fds, "{process:?}");
        assert!(process.cpu.is_some_and(|cpu| cpu > Duration::ZERO), "{process:?}");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmSize:\t  1234 kB\nVmRSS:\t    56 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(56));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmSwap:"), None);
    }
}
