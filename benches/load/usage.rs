//! What processes use, from proc(5).

use std::fs;
use std::time::Duration;

use crate::lab::process::family;

/// User and system time of a process so far, its own and that of children it has waited for.
pub fn cpu(pid: u32) -> Duration {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Duration::ZERO };
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // utime, stime, cutime, cstime are the fields 14 to 17; these begin with the third.
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse::<u64>().unwrap_or_default())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The same for a process and all its descendants.
pub fn cpu_of_family(pid: u32) -> Duration {
    family(pid).into_iter().map(cpu).sum()
}

/// Resident memory in MiB, now and at its highest.
pub fn memory(pid: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// The children of this process that run a program whose path ends with `name`.
pub fn children(name: &str) -> Vec<u32> {
    family(std::process::id())
        .into_iter()
        .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.ends_with(name)))
        .collect()
}

/// The machine and what else it is doing, in one line.
pub fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpus.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models.first().map_or("", |model| model.trim_start_matches(['\t', ' ', ':']));
    format!("{} × {model}; load average {}", models.len(), load())
}

/// The load averages of 1, 5 and 15 minutes.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
