//! Settings of the session that must not change a result.

#![cfg(test)]

use crate::random::Random;

/// A setting and its value.
pub(super) type Setting = (String, String);

/// For statements that write, beside the number of rows in a row group.
const WRITING: &[(&str, &[&str])] = &[
    (
        "execution.parquet.bloom_filter_on_write",
        &["true", "true", "false"],
    ),
    (
        "execution.parquet.statistics_enabled",
        &["none", "chunk", "page"],
    ),
    ("execution.parquet.dictionary_enabled", &["true", "false"]),
    (
        "execution.parquet.data_page_row_count_limit",
        &["2", "10", "100"],
    ),
    ("execution.parquet.data_pagesize_limit", &["64", "1000"]),
    ("execution.parquet.write_batch_size", &["2", "16"]),
    (
        "execution.parquet.column_index_truncate_length",
        &["2", "8"],
    ),
    ("execution.parquet.statistics_truncate_length", &["2", "8"]),
    ("execution.parquet.writer_version", &["1.0", "2.0"]),
    (
        "execution.parquet.allow_single_file_parallelism",
        &["false"],
    ),
    (
        "execution.parquet.maximum_parallel_row_group_writers",
        &["2"],
    ),
    ("execution.batch_size", &["3", "100"]),
];

/// For statements that read.
const READING: &[(&str, &[&str])] = &[
    (
        "execution.parquet.pushdown_filters",
        &["true", "true", "true"],
    ),
    ("execution.parquet.reorder_filters", &["true", "true"]),
    ("execution.parquet.force_filter_selections", &["true"]),
    ("execution.parquet.enable_page_index", &["true", "false"]),
    ("execution.parquet.pruning", &["true", "false"]),
    ("execution.parquet.bloom_filter_on_read", &["true", "false"]),
    ("execution.parquet.max_predicate_cache_size", &["0", "1000"]),
    ("execution.parquet.max_in_list_size", &["0", "2"]),
    ("execution.parquet.metadata_size_hint", &["8"]),
    ("execution.target_partitions", &["1", "2", "3", "8"]),
    ("execution.batch_size", &["1", "7", "100", "1000"]),
    ("execution.collect_statistics", &["false"]),
    ("execution.split_file_groups_by_statistics", &["true"]),
    ("execution.enable_file_stream_work_stealing", &["false"]),
    (
        "execution.skip_partial_aggregation_probe_rows_threshold",
        &["0"],
    ),
    ("execution.enable_migration_aggregate", &["false"]),
    ("execution.perfect_hash_join_small_build_threshold", &["0"]),
    (
        "execution.use_row_number_estimates_to_optimize_partitioning",
        &["true"],
    ),
    ("execution.enforce_batch_size_in_joins", &["true"]),
    ("optimizer.prefer_hash_join", &["false"]),
    // Not `optimizer.enable_piecewise_merge_join`, which is off by default: an outer join of it with a
    // side without rows loses the other side, over plain Parquet too.
    (
        "optimizer.hash_join_single_partition_threshold",
        &["0", "1000"],
    ),
    (
        "optimizer.hash_join_single_partition_threshold_rows",
        &["0", "10"],
    ),
    ("optimizer.hash_join_inlist_pushdown_max_size", &["0"]),
    (
        "optimizer.hash_join_inlist_pushdown_max_distinct_values",
        &["0", "2", "100000"],
    ),
    ("optimizer.enable_dynamic_filter_pushdown", &["false"]),
    ("optimizer.enable_topk_dynamic_filter_pushdown", &["false"]),
    ("optimizer.enable_join_dynamic_filter_pushdown", &["false"]),
    (
        "optimizer.enable_aggregate_dynamic_filter_pushdown",
        &["false"],
    ),
    ("optimizer.enable_topk_aggregation", &["false"]),
    ("optimizer.enable_topk_repartition", &["false"]),
    ("optimizer.enable_window_limits", &["false"]),
    ("optimizer.enable_window_topn", &["true"]),
    ("optimizer.enable_sort_pushdown", &["false"]),
    ("optimizer.enable_round_robin_repartition", &["false"]),
    (
        "optimizer.enable_distinct_aggregation_soft_limit",
        &["false"],
    ),
    (
        "optimizer.enable_physical_uncorrelated_scalar_subquery",
        &["false"],
    ),
    ("optimizer.enable_leaf_expression_pushdown", &["false"]),
    ("optimizer.enable_unions_to_filter", &["true"]),
    ("optimizer.filter_null_join_keys", &["true"]),
    ("optimizer.repartition_aggregations", &["false"]),
    ("optimizer.repartition_joins", &["false"]),
    ("optimizer.repartition_windows", &["false"]),
    ("optimizer.repartition_sorts", &["false"]),
    ("optimizer.repartition_file_scans", &["false"]),
    ("optimizer.repartition_file_min_size", &["0", "0", "100"]),
    ("optimizer.preserve_file_partitions", &["1"]),
    ("optimizer.prefer_existing_sort", &["true"]),
    ("optimizer.prefer_existing_union", &["true"]),
    ("optimizer.join_reordering", &["false"]),
    ("optimizer.top_down_join_key_reordering", &["false"]),
    ("optimizer.use_statistics_registry", &["true"]),
    ("optimizer.default_filter_selectivity", &["1", "100"]),
];

fn some(random: &mut Random, among: &[(&str, &[&str])], per_mille: usize) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (name, values) in among {
        // More values make a setting more likely.
        if random.chance(per_mille * values.len()) {
            settings.push((
                format!("datafusion.{name}"),
                (*random.pick(values)).to_owned(),
            ));
        }
    }
    settings
}

/// Settings for a statement that writes about `rows` rows.
pub(super) fn writing(random: &mut Random, rows: i64) -> Vec<Setting> {
    let mut settings = some(random, WRITING, 80);
    if random.chance(800) {
        // So many that the files stay small enough for a test.
        let least = rows / 300 + 1;
        let more = *random.pick(&[4, 40, 2000]);
        let group = least + random.below(more) as i64;
        settings.push((
            "datafusion.execution.parquet.max_row_group_size".into(),
            group.to_string(),
        ));
    }
    settings
}

/// Settings for statements that read.
pub(super) fn reading(random: &mut Random) -> Vec<Setting> {
    let often = [20, 60, 150][random.below(3)];
    some(random, READING, often)
}

/// The statements that set them.
pub(super) fn sql(settings: &[Setting]) -> Vec<String> {
    let set = |(name, value): &Setting| format!("SET {name} = '{value}'");
    settings.iter().map(set).collect()
}
