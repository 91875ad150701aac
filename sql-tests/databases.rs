//! Tables of databases: SQLite in a file, PostgreSQL and MariaDB as servers.
//!
//! The servers are programs that `.ci/databases` installs; where they are missing the tests
//! say so and pass, unless `CI` is set.

#![cfg(test)]

mod certificates;
mod changed_values;
mod column_defaults;
mod commit_answers;
mod crypto_providers;
mod every_database;
mod locks;
mod lost_connections;
mod partial_scans;
mod proxy;
mod quoted_names;
mod refusals;
pub(crate) mod server_programs;
pub(crate) mod site;
mod slow_rows;
mod tls;
mod types;

/// Runs each check on every database.
macro_rules! on_every_database {
    ($($check:ident),+ $(,)?) => { $(
        mod $check {
            use crate::databases::site::Site;

            #[tokio::test]
            async fn on_sqlite() {
                super::$check(Site::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                if let Some(site) = Site::postgres().await {
                    super::$check(site).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb() {
                if let Some(site) = Site::mariadb().await {
                    super::$check(site).await;
                }
            }
        }
    )+ };
}
pub(crate) use on_every_database;
