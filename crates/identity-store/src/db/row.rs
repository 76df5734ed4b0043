//! The macro for the structs that rows are read into.

/// Declares a struct that a row of either database is read into. A field is read from the column of its name, or of the
/// name after `as`. The parts after `with` are read from the same row.
///
/// It does what the derive macro of `sqlx` does. The crate of that macro would build `SQLite` and the drivers of both
/// databases a second time, for the compiler's use.
macro_rules! row {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident $(as $column:literal)?: $type:ty,)*
        } $(with {
            $($(#[$part_meta:meta])* $part_vis:vis $part:ident: $part_type:ty,)*
        })?
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
            $($($(#[$part_meta])* $part_vis $part: $part_type,)*)?
        }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            &'static str: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)*
            $($($part_type: sqlx::FromRow<'r, R>,)*)?
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self {
                    $($field: row.try_get($crate::db::column!($field $($column)?))?,)*
                    $($($part: sqlx::FromRow::from_row(row)?,)*)?
                })
            }
        }
    };
}

/// The name of the column that a field is read from.
macro_rules! column {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $column:literal) => {
        $column
    };
}

pub(crate) use {column, row};
