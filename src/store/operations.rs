//! The names of everything that the program asks of the database: the label of `maildt_db_errors_total`.

/// Every operation of [`super::Store`], in order, so that its series can start at 0.
pub const OPERATIONS: &[&str] = &[
    "add_recipient",
    "alert_snapshot",
    "attempt_login",
    "begin_session",
    "board",
    "cases",
    "change_recipient",
    "channel_health",
    "channel_works",
    "claim_due",
    "claim_notifications",
    "claim_requested",
    "close_notifications",
    "delete_recipient",
    "end_session",
    "folder_marks",
    "forget_channels",
    "forget_leftovers",
    "give_up_lease",
    "health",
    "history_entries",
    "history_reach",
    "history_slice",
    "hold_notifications",
    "incidents_to_tell",
    "is_channel_in_trouble",
    "keep_channel_health",
    "keep_folder_marks",
    "keys",
    "memories",
    "newest_probes",
    "now",
    "open_probes",
    "open_probes_besides",
    "open_scopes",
    "outstanding",
    "pending_notifications",
    "probe_list",
    "probe_view",
    "probes",
    "provision",
    "pulse",
    "recent_probes",
    "recipient",
    "recipient_footprint",
    "recipients",
    "recipients_revision",
    "release_notifications",
    "repair_plans",
    "request_probe",
    "requested_at",
    "roster",
    "save_probes",
    "schema_version",
    "session_lives",
    "session_seen",
    "settle_notifications",
    "switch_recipient",
    "take_lease",
    "told",
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The first argument of each `run` and `run_tx` in a source.
    fn named(source: &str) -> impl Iterator<Item = &str> {
        let calls = source.split(".run").skip(1).filter_map(|rest| {
            let arguments = rest.strip_prefix("_tx").unwrap_or(rest).strip_prefix('(')?;
            arguments.trim_start().strip_prefix('"')?.split('"').next()
        });
        calls.filter(|name| !name.is_empty())
    }

    #[test]
    fn every_operation_is_listed() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let sources: Vec<String> =
            files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let sources = sources.iter().map(String::as_str).chain([include_str!("../store.rs")]);
        let used: BTreeSet<&str> = sources.flat_map(named).collect();
        assert_eq!(used, OPERATIONS.iter().copied().collect());
        assert!(OPERATIONS.is_sorted());
    }
}
