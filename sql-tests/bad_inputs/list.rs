//! Where each of the hundred bad inputs is tested, or why it is not.

use crate::documents::test_names::test_names;

/// What becomes of a bad input.
enum Told {
    /// By these tests, each a function of this name.
    By(&'static [&'static str]),
    /// Not at all, for this reason.
    Not(&'static str),
}

use Told::{By, Not};

const NO_PARTITIONS: &str = "format 1 has no partitions: CREATE refuses the clause (line 23)";

const DEFINITION: Told = By(&["option_or_argument_that_is_wrong_is_named"]);
const COLUMNS: Told = By(&["columns_that_make_no_table_are_refused"]);
const PLACE: Told = By(&["place_that_is_no_table_is_told_and_left_as_it_is"]);
const NO_PLACE: Told = By(&["location_that_says_no_place_is_refused_without_repeating_a_secret"]);
const ROOTS: Told = By(&[
    "place_outside_the_allowed_roots_is_refused_by_its_resolved_name",
    "copy_and_other_formats_are_held_to_the_roots",
]);
const POINTER: Told = By(&[
    "pointer_of_any_content_is_no_more_than_a_hint",
    "pointer_behind_or_unreadable_still_leads_to_the_newest_version",
]);
const RECORD: Told = By(&["record_that_is_not_what_was_written_says_how"]);
const MEASURE: Told = By(&["record_beyond_all_measure_is_refused"]);
const COUNTS: Told = By(&["manifest_that_counts_wrongly_is_refused"]);
const NAME: Told = By(&[
    "name_that_is_no_data_file_of_the_table_is_refused_by_entry",
    "everything_else_is_refused",
]);
const GONE: Told = By(&["data_file_that_is_gone_or_cut_is_told_and_gives_no_row"]);
const COPY: Told = By(&["copy_that_is_refused_leaves_the_old_file"]);
const UNFIT: Told = By(&["values_that_do_not_fit_are_errors"]);
const ROWS: Told = By(&["rows_that_do_not_fit_make_no_version"]);
const VERSION: Told = By(&["version_or_time_that_is_none_is_refused"]);

/// Number, input, and what becomes of it.
const LINES: [(u8, &str, Told); 100] = [
    (1, "a directory that is missing", PLACE),
    (2, "a directory that holds something else", PLACE),
    (3, "a file", PLACE),
    (4, "a scheme that is none of a store", NO_PLACE),
    (5, "credentials in a URL", NO_PLACE),
    (6, "a query or a fragment", NO_PLACE),
    (7, "no location", NO_PLACE),
    (8, "`..` out of the allowed roots", ROOTS),
    (9, "a name that begins as an allowed root", ROOTS),
    (10, "a link out of the allowed roots", ROOTS),
    (11, "NUL or a line feed in a path", NO_PLACE),
    (
        12,
        "a directory that is not UTF-8",
        By(&["directory_whose_name_is_not_utf_8_is_refused"]),
    ),
    (
        13,
        "a name or key that is too long",
        By(&["name_that_no_disk_and_key_that_no_store_takes_is_refused"]),
    ),
    (
        14,
        "a bucket that does not exist",
        By(&["no_output_holds_a_secret"]),
    ),
    (
        15,
        "credentials that are refused",
        By(&[
            "no_output_holds_a_secret",
            "answer_of_a_server_is_cut_down_to_code_and_message",
        ]),
    ),
    (16, "an option that is none", DEFINITION),
    (17, "an option of another type", DEFINITION),
    (18, "a retention below zero; zero is legal", DEFINITION),
    (19, "no columns", COLUMNS),
    (20, "two columns of one name", COLUMNS),
    (21, "a type that cannot be stored", COLUMNS),
    (22, "a partition column that is none", COLUMNS),
    (23, "nothing but partition columns", COLUMNS),
    (
        24,
        "a table that exists",
        By(&["table_that_exists_is_not_made_again"]),
    ),
    (
        25,
        "a table inside a table",
        By(&[
            "table_inside_a_table_is_refused_on_disk",
            "table_inside_a_table_is_refused_in_memory",
        ]),
    ),
    (26, "an empty pointer", POINTER),
    (27, "a pointer that is nonsense", POINTER),
    (
        28,
        "a pointer ahead",
        By(&[
            "pointer_ahead_of_the_newest_record_stops_everything_but_versions_by_number",
            "pointer_ahead_of_the_newest_record_is_refused_and_older_versions_are_read",
        ]),
    ),
    (29, "a pointer behind", POINTER),
    (30, "an empty record", RECORD),
    (31, "a record that was cut", RECORD),
    (32, "a record with another checksum", RECORD),
    (33, "a record with another number", RECORD),
    (34, "a record of another table", RECORD),
    (35, "a record on another one", RECORD),
    (36, "a format of the future", RECORD),
    (37, "a feature of the future", RECORD),
    (38, "metadata of 300 MiB", MEASURE),
    (39, "metadata nested 10,000 deep", MEASURE),
    (40, "a key twice", MEASURE),
    (
        41,
        "names that look like records",
        By(&["names_that_only_look_like_records_count_for_nothing"]),
    ),
    (
        42,
        "a record lost in the middle",
        By(&[
            "version_that_is_not_there_says_whether_it_is_lost_or_has_expired",
            "record_lost_in_the_middle_hides_its_own_version_only",
        ]),
    ),
    (
        43,
        "a version that has expired",
        By(&["version_that_is_not_there_says_whether_it_is_lost_or_has_expired"]),
    ),
    (44, "a data file listed twice", COUNTS),
    (45, "counts below zero or beyond everything", COUNTS),
    (
        46,
        "a directory in the place of metadata",
        By(&["directory_in_the_place_of_metadata_is_refused"]),
    ),
    (
        47,
        "a version that is not younger",
        By(&["version_that_is_not_younger_than_the_one_before_is_refused"]),
    ),
    (48, "../../etc/passwd", NAME),
    (49, "/etc/passwd", NAME),
    (50, "data/../../x", NAME),
    (51, "data//x.parquet", NAME),
    (52, "%2e%2e/x", NAME),
    (53, "data/%2e%2e/x", NAME),
    (54, "data\\..\\x", NAME),
    (55, "file:///etc/passwd", NAME),
    (56, "s3://other/x", NAME),
    (57, "data/x#1", NAME),
    (58, "data/x?y", NAME),
    (59, "an empty name", NAME),
    (60, "data/", NAME),
    (61, ".", NAME),
    (62, "a line feed in a name", NAME),
    (63, "2000 letters", NAME),
    (
        64,
        "a data file of another table",
        By(&[
            "name_that_is_no_data_file_of_the_table_is_refused_by_entry",
            "data_file_of_another_table_is_never_read",
        ]),
    ),
    (
        65,
        "a link",
        By(&[
            "directory_of_data_files_that_is_a_link_is_refused",
            "data_file_that_is_a_link_is_not_followed",
        ]),
    ),
    (66, "metadata as a data file", NAME),
    (67, "a data file that is missing", GONE),
    (68, "a data file that is empty", GONE),
    (69, "a data file that was cut", GONE),
    (70, "a data file that is not Parquet", GONE),
    (
        71,
        "a footer that lies",
        By(&["footer_that_lies_about_its_lists_takes_no_memory"]),
    ),
    (
        72,
        "other columns",
        By(&["data_file_with_other_columns_gives_no_row_of_it"]),
    ),
    (
        73,
        "fewer rows than the manifest says",
        By(&["data_file_with_other_rows_than_its_manifest_says_gives_none"]),
    ),
    (
        74,
        "a CSV line with too many fields",
        By(&["a_wrong_line_is_named_and_what_came_before_it_is_there"]),
    ),
    (
        75,
        "JSON nested without end",
        By(&["a_wrong_line_is_named_and_what_came_before_it_is_there"]),
    ),
    (
        76,
        "another file of the same size",
        By(&[
            "data_file_replaced_by_one_like_it_is_read_whole_or_refused",
            "data_file_replaced_by_another_whole_one_is_refused",
        ]),
    ),
    (77, "other columns in an INSERT", ROWS),
    (78, "NULL in the last row", ROWS),
    (79, "a cast or a division that fails", ROWS),
    (
        80,
        "an INSERT into an old version",
        By(&["old_version_cannot_be_written"]),
    ),
    (81, "a version that is none; 0 is one", VERSION),
    (82, "a time that is none", VERSION),
    (
        83,
        "an expiry of what is no table",
        By(&["expiry_of_what_is_no_table_or_by_an_argument_that_is_none_is_refused"]),
    ),
    (
        84,
        "an expiry while a manifest cannot be read",
        By(&[
            "expiry_refuses_what_it_cannot_read_with_the_kind_of_damage",
            "expiry_refuses_before_it_deletes_when_a_retained_version_is_damaged",
        ]),
    ),
    (
        85,
        "an overwrite that comes too late",
        By(&[
            "overwrite_that_comes_too_late_is_a_conflict",
            "overwrite_planned_before_an_append_is_a_conflict_and_changes_nothing",
        ]),
    ),
    (
        86,
        "an append that always comes too late",
        By(&["append_that_always_comes_too_late_gives_up"]),
    ),
    (
        87,
        "a writer that an expiry revoked",
        By(&["insert_that_an_expiry_revoked_fails_cleanly_and_works_when_run_again"]),
    ),
    (88, "NaN and NULL in a partition column", Not(NO_PARTITIONS)),
    (89, "a directory that is missing, for a file", COPY),
    (90, "a target that is no file", COPY),
    (
        91,
        "a target that exists",
        By(&["every_format_replaces_fails_skips_backs_up_and_goes_back"]),
    ),
    (
        92,
        "more than a sheet holds",
        By(&[
            "more_rows_than_a_sheet_holds_are_refused_or_split",
            "rows_beyond_the_limit_are_refused_unless_they_may_be_split",
        ]),
    ),
    (
        93,
        "the name of a sheet",
        By(&["names_that_excel_does_not_take_are_refused"]),
    ),
    (
        94,
        "nested types in CSV or Excel",
        By(&[
            "copy_that_is_refused_leaves_the_old_file",
            "types_that_no_cell_holds_are_refused_before_anything_runs",
        ]),
    ),
    (
        95,
        "a table name that is SQL",
        By(&["names_that_look_like_sql_are_names"]),
    ),
    (
        96,
        "a name that is too long for a database",
        By(&["names_that_are_too_long_are_refused"]),
    ),
    (97, "NUL in a text of a database", UNFIT),
    (98, "a number that is too large for a database", UNFIT),
    (
        99,
        "a wrong password",
        By(&["wrong_password_is_refused_and_not_shown"]),
    ),
    (
        100,
        "a COMMIT without an answer",
        By(&["commit_that_postgres_never_answers_is_looked_for"]),
    ),
];

#[test]
fn every_line_is_tested_or_has_a_reason() {
    let tests = test_names();
    let (mut tested, mut reasoned) = (0, 0);
    for (at, (line, input, told)) in LINES.iter().enumerate() {
        assert_eq!(usize::from(*line), at + 1, "{input}");
        match told {
            By(names) => {
                tested += 1;
                assert!(!names.is_empty(), "line {line}: no test");
                for name in *names {
                    let found = tests.contains(*name);
                    assert!(found, "line {line}, {input}: there is no test {name}");
                }
            }
            Not(reason) => {
                reasoned += 1;
                assert!(!reason.is_empty(), "line {line}");
            }
        }
    }
    println!("{tested} lines are tested, {reasoned} have a reason");
}
