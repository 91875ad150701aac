//! The catalogs of a session by their names, also where a host wraps what it registers.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::catalog::CatalogProvider;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;

use super::catalog::{AtioCatalog, WeakCatalog};
use crate::error::{Error, Result};

/// What [`AtioCatalog::register`] was called with: a list of catalogs may wrap those that it is
/// given, and then nobody sees what they are.
#[derive(Default)]
struct Catalogs(Mutex<HashMap<String, WeakCatalog>>);

impl AtioCatalog {
    /// Opens the catalog over `location`, as [`open`](Self::open) does, and registers it in `ctx`
    /// as `name`. The functions about dropped tables find it by that name, whatever the session's
    /// list of catalogs makes of it.
    ///
    /// ```
    /// use atio::AtioCatalog;
    /// use datafusion::prelude::SessionContext;
    ///
    /// # #[tokio::main(flavor = "multi_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let location = directory.path().to_str().unwrap_or_default();
    /// let ctx = SessionContext::new();
    /// atio::register(&ctx)?;
    /// AtioCatalog::register(&ctx, "w", location)?;
    /// ctx.sql("CREATE TABLE w.public.sales (item TEXT)").await?;
    /// ctx.sql("DROP TABLE w.public.sales").await?;
    /// ctx.sql("SELECT * FROM atio_undrop('w.public.sales')").await?.collect().await?;
    /// assert!(ctx.table("w.public.sales").await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn register(ctx: &SessionContext, name: &str, location: &str) -> Result<Self> {
        let catalog = Self::open(ctx, location)?;
        ctx.register_catalog(name, Arc::new(catalog.clone()));
        let state = ctx.state_ref();
        let mut state = state.write();
        let catalogs = match state.config().get_extension::<Catalogs>() {
            Some(catalogs) => catalogs,
            None => {
                let catalogs = Arc::new(Catalogs::default());
                state.config_mut().set_extension(Arc::clone(&catalogs));
                catalogs
            }
        };
        let mut by_name = catalogs.0.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(name.to_owned(), catalog.downgrade());
        drop(by_name);
        Ok(catalog)
    }
}

/// All catalogs of atio's in a session, by their names.
pub(super) fn all(state: &SessionState) -> Vec<(String, AtioCatalog)> {
    let mut names = state.catalog_list().catalog_names();
    names.sort_unstable();
    let catalogs = names.into_iter().filter_map(|name| {
        let catalog = find(state, &name)?;
        Some((name, catalog))
    });
    catalogs.collect()
}

/// The catalog that is called `name`; fails if there is none of atio's.
pub(super) fn named(state: &SessionState, asker: &str, name: &str) -> Result<AtioCatalog> {
    find(state, name).ok_or_else(|| {
        let names: Vec<_> = all(state).into_iter().map(|(name, _)| name).collect();
        let there_are = match names.as_slice() {
            [] => "there is none in this session".to_owned(),
            names => format!("name the table as in {asker}('{}.public.sales')", names[0]),
        };
        Error::invalid(format!(
            "{asker}: '{name}' is not a catalog of atio's; {there_are}"
        ))
    })
}

fn find(state: &SessionState, name: &str) -> Option<AtioCatalog> {
    let provider: Arc<dyn CatalogProvider> = state.catalog_list().catalog(name)?;
    let bare = (provider.as_ref() as &dyn Any).downcast_ref::<AtioCatalog>();
    bare.cloned().or_else(|| {
        let catalogs = state.config().get_extension::<Catalogs>()?;
        let by_name = catalogs.0.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.get(name)?.upgrade()
    })
}

impl fmt::Debug for Catalogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalogs")
    }
}
