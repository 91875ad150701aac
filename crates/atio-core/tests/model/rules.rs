//! The rules of the protocol, the functions that follow them, and the cases that try them.

use std::fs;
use std::path::Path;

/// A rule without which something is lost.
struct Rule {
    says: &'static str,
    /// Files below `src/`, and the functions in them.
    code: &'static [(&'static str, &'static [&'static str])],
    /// Tests below `model/cases/`.
    cases: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        says: "The numbers of versions are never used twice: a version that expires leaves a \
               tombstone in place of its record.",
        code: &[
            ("log/operation/expire/apply.rs", &["delete", "bury"]),
            ("format/record/chain.rs", &["tombstone"]),
        ],
        cases: &[
            "writers_and_an_expirer_lose_nothing",
            "three_writers_and_an_expirer_lose_nothing",
            "writers_and_two_expirers_lose_nothing",
            "deleting_the_records_of_expired_versions_loses_a_row",
        ],
    },
    Rule {
        says: "Files that no version names are deleted only after a commit that revokes their \
               transactions; a writer that must pass it fails.",
        code: &[
            (
                "log/operation/expire/plan.rs",
                &["new", "add_orphans", "needs_fence"],
            ),
            ("log/operation/expire/apply.rs", &["fence"]),
            ("log/commit/rebase.rs", &["passed"]),
        ],
        cases: &["deleting_orphans_without_a_fence_takes_a_file_of_the_newest_version"],
    },
    Rule {
        says: "Every answer but yes is settled by reading the key back, each time; absence \
               settles nothing, and the same bytes are sent again.",
        code: &[("log/commit/outcome.rs", &["create_record", "resolve"])],
        cases: &[
            "requests_that_are_carried_out_late_lose_nothing",
            "not_reading_back_reports_a_failure_of_rows_that_are_there",
            "taking_absence_for_a_failure_reports_a_failure_of_rows_that_land_late",
        ],
    },
    Rule {
        says: "A writer deletes what it staged only when another's record has its place, and \
               never when the outcome is unknown.",
        code: &[
            ("log/commit/engine.rs", &["commit"]),
            (
                "log/commit/transaction.rs",
                &["may_be_committed", "settle", "abort"],
            ),
        ],
        cases: &[
            "a_writer_may_delete_its_files_once_another_record_has_its_place",
            "cleaning_up_at_a_conflict_that_may_be_its_own_commit_deletes_committed_files",
            "files_of_an_unknown_outcome_are_left_alone",
            "cleaning_up_after_an_unknown_outcome_deletes_files_that_are_committed_late",
        ],
    },
    Rule {
        says: "An expiry that loses the race keeps its list and plans anew on the newest \
               version; it may read on from its plan if no other expiry and no tag came.",
        code: &[
            ("log/operation/expire/mod.rs", &["expire"]),
            (
                "log/operation/expire/inventory.rs",
                &["leads_to", "advance"],
            ),
            ("log/operation/expire/plan.rs", &["new"]),
        ],
        cases: &[
            "an_expiry_that_loses_the_race_keeps_its_list_and_plans_anew",
            "an_expiry_that_loses_the_race_reads_only_what_is_new",
            "an_expiry_that_reads_on_past_a_tag_expires_its_version",
            "an_expiry_that_keeps_its_plan_deletes_a_row_that_was_committed_since",
        ],
    },
    Rule {
        says: "An expiry lists before it reads the newest version, and decides by the records \
               up to that one; it goes without a fence only if nothing newly expires and \
               nobody is revoked, and if no other expiry has come since.",
        code: &[
            ("log/operation/expire/mod.rs", &["expire"]),
            (
                "log/operation/expire/inventory.rs",
                &["list_staged", "take", "read_records"],
            ),
            (
                "log/operation/expire/plan.rs",
                &["add_expired", "needs_fence"],
            ),
        ],
        cases: &[
            "an_expiry_that_makes_a_fence_only_if_one_is_due_loses_nothing",
            "without_a_fence_what_was_committed_since_the_plan_is_taken_for_left_over",
            "without_a_fence_an_expiry_that_another_overtook_deletes_what_a_rollback_needs",
        ],
    },
    Rule {
        says: "Whether a version can be read is decided by what the newest fence says has \
               expired, not by its own record; what has expired never comes back.",
        code: &[
            ("log/operation/expire/plan.rs", &["add_expired"]),
            ("log/read/load.rs", &["expired_at"]),
            ("log/read/snapshot.rs", &["has_expired"]),
            (
                "log/operation/ref_update.rs",
                &["commit_ref_update", "plan", "target"],
            ),
            ("log/operation/tags.rs", &["plan_tag", "refs"]),
            ("log/operation/rollback.rs", &["plan_rollback"]),
        ],
        cases: &[
            "tags_and_rollbacks_that_ask_the_newest_fence_are_on_readable_versions",
            "a_tag_that_asks_the_record_is_on_a_version_that_has_expired",
            "a_tag_outside_the_log_is_on_a_version_that_has_expired",
            "a_rollback_that_asks_the_record_names_files_that_are_deleted",
        ],
    },
    Rule {
        says: "A merged manifest is used only if all that it stands for is still listed.",
        code: &[("log/commit/merge.rs", &["stage", "apply"])],
        cases: &[
            "merged_manifests_stand_for_what_is_still_listed",
            "a_merged_manifest_beside_what_it_stands_for_doubles_rows",
            "a_merged_manifest_in_place_of_what_is_not_listed_any_more_doubles_or_revives_rows",
        ],
    },
    Rule {
        says: "A statement that changes rows holds the files that it read or removes, and the rows \
               that it would have selected, against all that came since its base; on another base \
               it writes the manifests anew.",
        code: &[
            ("format/conflict.rs", &["conflict", "spoiled"]),
            ("format/change.rs", &["of_files", "may_be_selected"]),
            ("format/intent.rs", &["of_append", "of_rewrite"]),
            ("log/commit/rebase.rs", &["passed", "verdict"]),
            ("log/operation/rows.rs", &["plan"]),
            ("log/operation/rewrite.rs", &["rewrite", "check_removed"]),
        ],
        cases: &[
            "two_statements_beside_each_other_make_what_they_make_one_after_the_other",
            "statements_beside_a_compaction_make_what_they_make_without",
            "serializable_statements_beside_a_compaction_make_what_they_make_without",
            "of_compactions_beside_each_other_each_row_is_there_once",
            "compaction_that_does_not_look_at_removed_files_brings_back_what_was_deleted",
            "serializable_statements_make_what_they_make_in_the_order_of_their_versions",
            "what_is_not_held_against_appends_may_be_in_no_order_with_who_read_both",
            "manifests_that_are_carried_to_another_base_bring_back_what_was_removed_there",
            "list_that_is_carried_to_another_base_loses_what_was_appended_there",
            "statement_that_does_not_look_at_removed_files_loses_an_update_or_doubles_a_row",
            "statement_that_looks_at_the_files_that_it_removes_alone_goes_by_rows_that_are_gone",
            "statement_that_does_not_look_at_added_rows_leaves_some_that_it_should_have_changed",
            "serializable_statement_that_does_not_look_at_appended_rows_is_not",
        ],
    },
    Rule {
        says: "A statement that marks rows holds them against the rows that others marked in the \
               same file, and the file against those that removed it; on another base it unites \
               them with the vector of that base. A vector goes when no version that stays names \
               it, whatever became of its file.",
        code: &[
            ("format/conflict.rs", &["spoiled"]),
            (
                "format/change.rs",
                &["may_share_rows", "of_files", "may_mark"],
            ),
            ("format/manifest.rs", &["id"]),
            ("log/commit/rebase.rs", &["verdict", "read_marks"]),
            ("log/operation/rewrite.rs", &["marked", "mark"]),
            ("log/operation/rollback.rs", &["difference"]),
            (
                "log/operation/expire/inventory.rs",
                &["collect_live", "collect_expired"],
            ),
        ],
        cases: &[
            "marks_of_statements_beside_each_other_are_those_of_one_after_the_other",
            "marks_beside_an_expiry_lose_nothing",
            "vector_that_is_carried_to_another_base_brings_back_a_row_that_was_deleted_there",
            "marks_that_are_united_blindly_change_one_row_twice",
            "statement_that_looks_at_marks_alone_lists_a_file_that_was_written_anew",
            "file_that_is_written_anew_whatever_was_marked_brings_deleted_rows_back",
            "marks_that_nobody_can_tell_and_that_count_as_none_change_one_row_twice",
            "expiry_that_goes_by_the_age_of_vectors_deletes_one_of_the_newest_version",
            "expiry_that_takes_every_content_for_a_file_of_its_own_deletes_one_of_the_newest_version",
        ],
    },
    Rule {
        says: "A statement looks for its key before it begins, and in every version that it \
               passes; tombstones keep the key of their version and the transactions that it \
               revoked.",
        code: &[
            ("log/read/keys.rs", &["committed_with"]),
            ("log/commit/rebase.rs", &["passed"]),
            ("format/record/chain.rs", &["tombstone"]),
        ],
        cases: &[
            "a_statement_of_unknown_outcome_runs_again_with_its_key_and_is_there_once",
            "tombstones_that_forget_the_key_let_a_statement_commit_twice",
            "tombstones_that_forget_who_was_revoked_let_a_slow_writer_commit_deleted_files",
        ],
    },
    Rule {
        says: "A ticket makes one version at most: a commit of it looks at every version since it \
               was begun, for its own record too, and holds the files of that against its parts. \
               A commit that fails leaves the parts where they are.",
        code: &[
            (
                "log/operation/two_phase.rs",
                &[
                    "commit_ticket",
                    "look_for",
                    "was_committed",
                    "has_committed",
                ],
            ),
            ("log/commit/rebase.rs", &["of_ticket", "passed"]),
            ("log/commit/outcome.rs", &["create_record"]),
            ("log/commit/transaction.rs", &["resume", "hand_over"]),
        ],
        cases: &[
            "a_ticket_that_two_processes_commit_makes_one_version_at_most",
            "requests_for_a_ticket_that_are_carried_out_late_lose_nothing",
            "a_ticket_that_overwrites_loses_no_row_that_was_appended_since",
            "a_commit_that_does_not_look_at_what_came_since_the_ticket_names_deleted_files",
            "a_commit_that_does_not_look_for_its_own_record_commits_twice",
            "a_record_of_the_ticket_with_other_parts_that_is_taken_for_its_own_loses_rows",
            "a_tombstone_that_counts_as_many_files_does_not_tell_which",
            "a_committer_that_deletes_the_parts_when_it_fails_deletes_what_another_commits",
        ],
    },
    Rule {
        says: "The name of everything that is staged tells its transaction.",
        code: &[
            (
                "format/layout.rs",
                &[
                    "data_file",
                    "vectors",
                    "manifest",
                    "snapshot",
                    "removed",
                    "schema",
                    "refs",
                ],
            ),
            ("log/commit/transaction.rs", &["data_file", "vectors"]),
        ],
        cases: &["names_that_do_not_tell_their_transaction_let_it_commit_deleted_files"],
    },
    Rule {
        says: "DROP ends the log with a record that nobody passes, deletes what it listed before \
               that, and leaves tombstones; CREATE goes on above.",
        code: &[
            ("log/operation/drop.rs", &["drop_log_at", "plan", "bury"]),
            ("log/operation/create.rs", &["create", "first_record"]),
            ("log/commit/rebase.rs", &["passed"]),
        ],
        cases: &[
            "a_table_is_dropped_and_another_created_in_its_place",
            "a_drop_that_lists_after_its_record_deletes_the_next_table",
            "a_rebase_over_a_drop_brings_rows_of_the_old_table_into_the_new",
            "a_drop_that_deletes_the_log_lets_an_older_writer_begin_a_broken_one",
        ],
    },
    Rule {
        says: "On a local disk DROP sets the table aside: a writer makes its directory before its \
               last look at the base, a table comes back without such directories, and the \
               directory of the records is synced as it was opened before the commit. What is \
               purged cannot come back before its first file is deleted.",
        code: &[
            ("log/commit/outcome.rs", &["check_not_dropped"]),
            ("log/operation/undrop.rs", &["end_transactions"]),
            (
                "storage/local/folder.rs",
                &["end_transactions", "rename_folder"],
            ),
            (
                "storage/local/writer.rs",
                &["create_record", "open_records"],
            ),
        ],
        cases: &[
            "tables_that_are_set_aside_and_come_back_take_no_version_of_another",
            "a_table_that_comes_back_with_its_transactions_takes_a_version_of_another",
            "a_directory_that_is_made_after_the_last_look_may_be_in_another_table",
            "syncing_by_path_may_sync_another_table_and_lose_a_row",
            "a_purge_that_deletes_what_can_come_back_damages_it",
        ],
    },
    Rule {
        says: "On a local disk: files are durable before the record that names them, the record \
               before it is acknowledged, before the pointer moves, and before anything is \
               deleted because of it, whoever made it and however it was found.",
        code: &[
            ("log/commit/outcome.rs", &["create_record"]),
            ("log/commit/announce.rs", &["announce"]),
            ("log/operation/expire/apply.rs", &["fence", "delete"]),
            ("log/commit/transaction.rs", &["sync_records"]),
            (
                "storage/local/writer.rs",
                &["create_record", "publish", "sync_records"],
            ),
        ],
        cases: &[
            "what_was_acknowledged_survives_a_power_failure",
            "a_record_before_its_files_are_durable_names_files_that_a_power_failure_takes",
            "acknowledging_what_is_only_visible_loses_a_row",
            "deleting_because_of_a_fence_that_is_only_visible_damages_a_version",
            "a_pointer_that_moves_before_the_version_is_durable_names_none",
        ],
    },
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_functions_that_follow_the_rules_are_where_they_are_said_to_be() {
    let mut missing = Vec::new();
    for rule in RULES {
        for (file, functions) in rule.code {
            let source = read(&format!("src/{file}"));
            let lost = functions
                .iter()
                .filter(|name| !source.contains(&format!("fn {name}(")));
            missing.extend(lost.map(|name| format!("{file} has no '{name}', for: {}", rule.says)));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_case_tries_a_rule_and_every_rule_is_tried() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model/cases");
    let mut tests = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        let after = source.split("#[test]\nfn ").skip(1);
        tests.extend(after.filter_map(|text| Some(text.split_once('(')?.0.to_owned())));
    }
    let mut named: Vec<_> = RULES
        .iter()
        .flat_map(|rule| rule.cases)
        .map(|case| case.to_string())
        .collect();
    assert!(
        RULES
            .iter()
            .all(|rule| !rule.code.is_empty() && !rule.cases.is_empty())
    );
    tests.sort();
    named.sort();
    assert_eq!(named, tests);
}
