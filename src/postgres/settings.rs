//! The server's settings. On the command line, where they win over any file: they belong to this version of MailDT and not
//! to the data.

use std::ffi::OsString;
use std::path::Path;

/// Names the socket; no port is opened.
pub(super) const PORT: u16 = 5432;

/// Durable, and small: one program with a pool of connections, a few writes a second, a working set of some megabytes.
const SETTINGS: [(&str, &str); 29] = [
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("ssl", "off"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("max_connections", "40"),
    ("shared_buffers", "32MB"),
    ("maintenance_work_mem", "32MB"),
    // In files: containers have little /dev/shm, and systemd empties it when an ordinary user logs out.
    ("dynamic_shared_memory_type", "mmap"),
    ("jit", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "128MB"),
    ("min_wal_size", "32MB"),
    ("archive_mode", "off"),
    ("max_worker_processes", "2"),
    ("max_parallel_workers", "0"),
    ("max_parallel_workers_per_gather", "0"),
    ("max_parallel_maintenance_workers", "0"),
    ("max_logical_replication_workers", "0"),
    ("autovacuum", "on"),
    ("autovacuum_max_workers", "1"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_min_messages", "warning"),
    // The details of a failed statement quote its values, addresses among them.
    ("log_error_verbosity", "terse"),
];

pub(super) fn arguments(socket_dir: &Path, cluster_name: &str) -> Vec<OsString> {
    let setting = |(name, value): &(&str, &str)| [OsString::from("-c"), format!("{name}={value}").into()];
    let mut arguments: Vec<OsString> = SETTINGS.iter().flat_map(setting).collect();
    arguments.extend(setting(&("cluster_name", cluster_name)));
    arguments.extend(["-p".into(), PORT.to_string().into(), "-k".into(), list_of_one(socket_dir)]);
    arguments
}

/// `unix_socket_directories` is a list: quoted, so that a comma in the path stays one.
fn list_of_one(path: &Path) -> OsString {
    let mut quoted = OsString::from("\"");
    match path.to_str() {
        Some(text) => quoted.push(text.replace('"', "\"\"")),
        None => quoted.push(path),
    }
    quoted.push("\"");
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_comma_and_quote_stays_one_directory() {
        assert_eq!(list_of_one(Path::new("/a, \"b\"")), OsString::from("\"/a, \"\"b\"\"\""));
    }
}
