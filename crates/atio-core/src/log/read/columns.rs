//! Which columns of one version another one does not have.

use crate::log::read::snapshot::Snapshot;

/// A column of one version that another one does not have.
pub(super) struct Missing<'a> {
    pub(super) name: &'a str,
    /// What is with it there, for messages.
    pub(super) why: &'static str,
}

/// The first column of `of` that `to` does not have, or with another type.
pub(super) fn column_not_in<'a>(of: &'a Snapshot, to: &Snapshot) -> Option<Missing<'a>> {
    let name = |of: &Snapshot, at: usize| -> String {
        let field = &of.schema.fields[at];
        field.legacy_name.as_ref().unwrap_or(&field.name).clone()
    };
    // Files of Python's have no field ids.
    let python = of.python.is_some() || to.python.is_some();
    let is_one = |at: usize, other: usize| match python {
        true => name(of, at) == name(to, other),
        false => of.schema.fields[at].id == to.schema.fields[other].id,
    };
    let is_same = |at: usize, other: usize| {
        let (was, is) = (of.arrow.field(at), to.arrow.field(other));
        // In Python a column of nothing but None is of any type.
        let same = was.data_type() == is.data_type() || python && was.data_type().is_null();
        is_one(at, other) && same
    };
    let others = || 0..to.schema.fields.len();
    let fields = of.schema.fields.iter().enumerate();
    let mut missing = fields.filter(|(at, _)| !others().any(|other| is_same(*at, other)));
    let (at, field) = missing.next()?;
    let has_name = |other: usize| to.schema.fields[other].name == field.name;
    let why = match (
        others().any(|other| is_one(at, other)),
        others().any(has_name),
    ) {
        (true, _) => "has another type",
        (_, true) => "is another column",
        _ => "is not",
    };
    let name = &field.name;
    Some(Missing { name, why })
}
