//! Which statements stand beside which.

use super::Ending::{self, Added, Removed, Yes};

/// One statement that is planned, another that runs, and how the first ends. `UPSERT` and `ADD` stand
/// for a MERGE of these ids.
pub(super) const CASES: &[(&str, &str, Ending)] = &[
    // Ranges of ids that overlap.
    (
        "UPDATE t SET x = -1 WHERE id % 2 = 0",
        "UPDATE t SET x = -2 WHERE id % 2 = 1",
        Yes,
    ),
    (
        "UPDATE t SET x = -1 WHERE id IN (1, 9)",
        "UPDATE t SET x = -2 WHERE id = 5",
        Yes,
    ),
    (
        "DELETE FROM t WHERE id % 2 = 0",
        "UPDATE t SET x = -2 WHERE id % 2 = 1",
        Yes,
    ),
    (
        "UPDATE t SET x = -1 WHERE id % 2 = 0",
        "UPSERT (3), (501)",
        Yes,
    ),
    (
        "UPDATE t SET x = -1 WHERE id % 2 = 0",
        "UPSERT (3), (500)",
        Added,
    ),
    // A row that moves into the condition, or out of it.
    (
        "UPDATE t SET x = -1 WHERE x % 2 = 0",
        "UPDATE t SET x = 4 WHERE id = 3",
        Added,
    ),
    (
        "DELETE FROM t WHERE x % 2 = 0",
        "UPDATE t SET x = 40 WHERE id % 2 = 1",
        Added,
    ),
    (
        "UPDATE t SET x = -1 WHERE x % 2 = 0",
        "UPDATE t SET x = 5 WHERE id = 4",
        Removed,
    ),
    // NULL is not selected.
    (
        "UPDATE t SET x = -1 WHERE x % 2 = 0",
        "UPDATE t SET x = NULL WHERE id = 3",
        Yes,
    ),
    (
        "UPDATE t SET x = -1 WHERE name IS NULL OR id % 2 = 0",
        "UPDATE t SET name = NULL WHERE id = 3",
        Added,
    ),
    // Conditions that cannot be asked again, or say something else each time.
    (
        "DELETE FROM t WHERE id % 2 = 0 AND random() < 2",
        "UPDATE t SET x = -2 WHERE id % 2 = 1",
        Yes,
    ),
    (
        "DELETE FROM t WHERE id + random() * 0 < 3",
        "UPDATE t SET x = -2 WHERE id = 9",
        Added,
    ),
    (
        "DELETE FROM t WHERE id IN (SELECT k FROM s WHERE k < 3)",
        "UPDATE t SET x = -2 WHERE id = 9",
        Added,
    ),
    (
        "UPDATE t SET x = -1 WHERE id = (SELECT min(k) FROM s)",
        "UPDATE t SET x = -2 WHERE id = 9",
        Added,
    ),
    // What a subquery reads, too.
    (
        "UPDATE t SET x = -1 WHERE id = 2 AND (SELECT count(*) FROM t WHERE x % 2 = 1) > 0",
        "ADD (500)",
        Added,
    ),
    (
        "UPDATE t SET x = -1 WHERE id = 2 AND (SELECT count(*) FROM t WHERE x % 2 = 0) > 0",
        "ADD (500)",
        Yes,
    ),
    (
        "UPDATE t SET x = -1 WHERE id = 2 AND (SELECT count(*) FROM t) > 0",
        "ADD (500)",
        Added,
    ),
    // Keys.
    ("UPSERT (3), (500)", "UPSERT (4), (501)", Yes),
    ("UPSERT (3), (500)", "UPSERT (4), (500)", Added),
    ("UPSERT (3), (500)", "UPSERT (3), (501)", Removed),
    ("ADD (500)", "ADD (500)", Added),
    ("ADD (500)", "ADD (499), (501)", Yes),
    (
        "UPSERT (4), (500)",
        "UPDATE t SET id = 500 WHERE id = 3",
        Added,
    ),
    (
        "UPSERT (4), (500)",
        "UPDATE t SET id = 501 WHERE id = 3",
        Yes,
    ),
    (
        "UPSERT (4), (500)",
        "UPDATE t SET id = NULL WHERE id = 3",
        Yes,
    ),
    ("ADD (NULL), (500)", "ADD (NULL), (501)", Yes),
    (
        "MERGE INTO t USING (VALUES (NULL), (500)) AS s(id) ON t.id IS NOT DISTINCT FROM s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
        "UPDATE t SET id = NULL WHERE id = 3",
        Added,
    ),
    // A key that no row had, of a MERGE that adds none.
    (
        "MERGE INTO t USING (VALUES (3), (500)) AS s(id) ON t.id = s.id WHEN MATCHED THEN DELETE",
        "ADD (500)",
        Added,
    ),
    (
        "MERGE INTO t USING (VALUES (3), (500)) AS s(id) ON t.id = s.id WHEN MATCHED THEN DELETE",
        "ADD (501)",
        Yes,
    ),
    // The same of a source that is larger than the table.
    (
        "MERGE INTO t USING s ON t.id = s.k WHEN MATCHED AND t.x < 9 THEN DELETE",
        "ADD (500)",
        Added,
    ),
    (
        "MERGE INTO t USING s ON t.id = s.k WHEN MATCHED AND t.x < 9 THEN DELETE",
        "ADD (5000)",
        Yes,
    ),
    // Other conditions beside the key, and other keys.
    (
        "MERGE INTO t USING (VALUES (3), (500)) AS s(id) ON t.id = s.id AND t.x < 100 WHEN MATCHED THEN DELETE",
        "ADD (501)",
        Yes,
    ),
    (
        "MERGE INTO t USING (VALUES (3), (500)) AS s(id) ON t.id = s.id AND t.x > s.id - 1 WHEN MATCHED THEN DELETE",
        "ADD (501)",
        Yes,
    ),
    (
        "MERGE INTO t USING (VALUES (4), (500)) AS s(id) ON t.id = s.id AND t.x % 2 = 0 WHEN MATCHED THEN DELETE",
        "ADD (500)",
        Yes,
    ),
    (
        "MERGE INTO t USING (VALUES (3, 'n3'), (500, 'a')) AS s(id, name) ON t.id = s.id AND t.name = s.name WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)",
        "MERGE INTO t USING (VALUES (500, 'b')) AS s(id, name) ON t.id = s.id AND t.name = s.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)",
        Yes,
    ),
    (
        "MERGE INTO t USING (VALUES ('n3'), ('m')) AS s(name) ON t.name = s.name WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)",
        "UPDATE t SET name = 'm' WHERE id = 4",
        Added,
    ),
    (
        "MERGE INTO t USING (VALUES ('n3'), ('m')) AS s(name) ON t.name = s.name WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)",
        "UPDATE t SET name = 'o' WHERE id = 4",
        Yes,
    ),
    (
        "MERGE INTO t USING (VALUES ('3'), ('500')) AS s(id) ON CAST(t.id AS VARCHAR) = s.id WHEN MATCHED THEN DELETE",
        "ADD (500)",
        Added,
    ),
    (
        "MERGE INTO t USING (VALUES ('3'), ('500')) AS s(id) ON CAST(t.id AS VARCHAR) = s.id WHEN MATCHED THEN DELETE",
        "ADD (501)",
        Yes,
    ),
    (
        "MERGE INTO t USING (VALUES (3.0), (500.0)) AS s(id) ON t.id = s.id WHEN MATCHED THEN DELETE",
        "ADD (500)",
        Added,
    ),
    // Whoever takes both zeros for one, or all that are no numbers, finds one.
    (
        "MERGE INTO t USING (VALUES (3.0e0), (0.0e0)) AS s(x) ON t.x = s.x WHEN MATCHED THEN DELETE",
        "UPDATE t SET x = -0.0e0 WHERE id = 4",
        Added,
    ),
    (
        "MERGE INTO t USING (VALUES (3.0e0), (CAST('NaN' AS DOUBLE))) AS s(x) ON t.x = s.x WHEN MATCHED THEN DELETE",
        "UPDATE t SET x = 'NaN' WHERE id = 4",
        Added,
    ),
    // Without a key, or with rows of the table that need none.
    (
        "MERGE INTO t USING (VALUES (3)) AS s(id) ON t.id > s.id - 1 AND t.id < s.id + 1 WHEN MATCHED THEN DELETE",
        "ADD (500)",
        Added,
    ),
    (
        "MERGE INTO t USING (VALUES (3)) AS s(id) ON t.id = s.id WHEN NOT MATCHED BY SOURCE AND t.id > 400 THEN DELETE WHEN MATCHED THEN DELETE",
        "ADD (500)",
        Added,
    ),
    // A source that reads the table.
    (
        "MERGE INTO t USING (SELECT id + 500 AS id FROM t WHERE id % 7 = 0) AS s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
        "ADD (600)",
        Yes,
    ),
    (
        "MERGE INTO t USING (SELECT id + 500 AS id FROM t WHERE id % 7 = 0) AS s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
        "ADD (700)",
        Added,
    ),
    (
        "MERGE INTO t USING (SELECT id + 500 AS id FROM t WHERE id % 7 = 0) AS s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
        "ADD (507)",
        Added,
    ),
];

/// The same where the first is held against appends, too.
pub(super) const SERIALIZABLE: &[(&str, &str, Ending)] = &[
    (
        "UPDATE t SET x = -1 WHERE id % 2 = 0",
        "INSERT INTO t VALUES (7, 7, 'a')",
        Yes,
    ),
    (
        "UPDATE t SET x = -1 WHERE id % 2 = 0",
        "INSERT INTO t VALUES (8, 8, 'a')",
        Added,
    ),
    ("ADD (500)", "INSERT INTO t VALUES (501, 8, 'a')", Yes),
    ("ADD (500)", "INSERT INTO t VALUES (500, 8, 'a')", Added),
    (
        "INSERT INTO t SELECT id + 1000, x, name FROM t WHERE id % 2 = 0",
        "INSERT INTO t VALUES (7, 7, 'a')",
        Yes,
    ),
    (
        "INSERT INTO t SELECT id + 1000, x, name FROM t WHERE id % 2 = 0",
        "INSERT INTO t VALUES (8, 8, 'a')",
        Added,
    ),
];
