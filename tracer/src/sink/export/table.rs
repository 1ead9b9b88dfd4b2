//! A Parquet file that is written row by row: rows are collected in columns, and full columns are written as a row
//! group.

use std::{fs::File, io, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type},
    errors::Result,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use crate::sink::export::failed;

/// Rows of a row group, which stays in memory until it is written.
const ROWS: usize = 32_768;

/// A kind of row, made by [`row!`].
pub(crate) trait Row {
    /// Room for a row group.
    type Columns: Default;

    /// The schema, as Parquet's own language writes it.
    fn schema() -> String;

    /// Adds itself.
    fn put(self, columns: &mut Self::Columns);

    /// Writes the columns in the order of the schema, and empties them.
    fn write(columns: &mut Self::Columns, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<()>;
}

/// Defines a kind of row from its columns, in their order.
macro_rules! row {
    ($(#[$about:meta])* $row:ident, $columns:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone)]
        pub(crate) struct $row {
            $(pub $field: $type,)*
        }

        #[derive(Default)]
        pub(crate) struct $columns {
            $($field: Column<<$type as Value>::Physical>,)*
        }

        impl Row for $row {
            type Columns = $columns;

            fn schema() -> String {
                let mut schema = format!("message {} {{\n", stringify!($row).to_lowercase());
                $(schema += &<$type as Value>::column(stringify!($field));)*
                schema + "}"
            }

            fn put(self, columns: &mut $columns) {
                $(self.$field.put(&mut columns.$field);)*
            }

            fn write(columns: &mut $columns, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<()> {
                $(columns.$field.write(group)?;)*
                Ok(())
            }
        }
    };
}
pub(crate) use row;

/// The values of a column.
pub(crate) struct Column<D: DataType> {
    values: Vec<D::T>,
    /// 1 where there is a value, 0 where there is none.
    levels: Vec<i16>,
}

impl<D: DataType> Default for Column<D> {
    fn default() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }
}

impl<D: DataType> Column<D> {
    pub(crate) fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<()> {
        if let Some(mut column) = group.next_column()? {
            // A required column ignores the levels.
            column.typed::<D>().write_batch(&self.values, Some(&self.levels), None)?;
            column.close()?;
        }
        self.values.clear();
        self.levels.clear();
        Ok(())
    }
}

/// What a cell can hold.
pub(crate) trait Value: Sized {
    /// How Parquet stores it.
    type Physical: DataType;
    /// What it means, in the language of schemas.
    const LOGICAL: &'static str;
    /// Whether it can be missing.
    const REPETITION: &'static str = "REQUIRED";

    /// Adds itself.
    fn put(self, column: &mut Column<Self::Physical>) {
        column.values.push(self.physical());
        column.levels.push(1);
    }

    /// As it is stored.
    fn physical(self) -> <Self::Physical as DataType>::T;

    /// A line of the schema.
    fn column(name: &str) -> String {
        let physical = match Self::Physical::get_physical_type() {
            // Parquet's schema language has another name for it than the file format.
            parquet::basic::Type::BYTE_ARRAY => "BINARY".to_owned(),
            other => other.to_string(),
        };
        format!("  {} {physical} {name} {};\n", Self::REPETITION, Self::LOGICAL)
    }
}

/// Nanoseconds since 1970, UTC.
#[derive(Clone, Copy)]
pub(crate) struct Time(pub i64);

/// The same, stored as microseconds, which every engine reads.
#[derive(Clone, Copy)]
pub(crate) struct Micros(pub i64);

macro_rules! value {
    ($type:ty, $physical:ty, $logical:literal, $value:ident => $convert:expr) => {
        impl Value for $type {
            type Physical = $physical;
            const LOGICAL: &'static str = $logical;
            fn physical(self) -> <$physical as DataType>::T {
                let $value = self;
                $convert
            }
        }
    };
}

value!(Time, Int64Type, "(TIMESTAMP(NANOS,true))", time => time.0);
value!(Micros, Int64Type, "(TIMESTAMP(MICROS,true))", time => time.0.div_euclid(1_000));
value!(i64, Int64Type, "", number => number);
value!(i32, Int32Type, "", number => number);
value!(u16, Int32Type, "(INTEGER(16,false))", number => i32::from(number));
value!(u32, Int32Type, "(INTEGER(32,false))", number => number.cast_signed());
value!(bool, BoolType, "", is => is);
value!(String, ByteArrayType, "(STRING)", text => ByteArray::from(text.into_bytes()));
value!(&'static str, ByteArrayType, "(STRING)", text => ByteArray::from(Bytes::from_static(text.as_bytes())));

impl<V: Value> Value for Option<V> {
    type Physical = V::Physical;
    const LOGICAL: &'static str = V::LOGICAL;
    const REPETITION: &'static str = "OPTIONAL";

    fn put(self, column: &mut Column<V::Physical>) {
        column.levels.push(i16::from(self.is_some()));
        column.values.extend(self.map(V::physical));
    }

    fn physical(self) -> <V::Physical as DataType>::T {
        self.map(V::physical).unwrap_or_default()
    }
}

/// A file of such rows.
pub(crate) struct Table<R: Row> {
    writer: SerializedFileWriter<File>,
    columns: R::Columns,
    rows: usize,
    row: PhantomData<fn(R)>,
}

impl<R: Row> Table<R> {
    /// Into an empty file.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("tracer {}", env!("CARGO_PKG_VERSION")))
            .build();
        let schema = parse_message_type(&R::schema()).map_err(failed)?;
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        Ok(Self { writer, columns: R::Columns::default(), rows: 0, row: PhantomData })
    }

    pub(crate) fn put(&mut self, row: R) -> io::Result<()> {
        row.put(&mut self.columns);
        self.rows += 1;
        if self.rows == ROWS { self.write_rows() } else { Ok(()) }
    }

    fn write_rows(&mut self) -> io::Result<()> {
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            R::write(&mut self.columns, &mut group)?;
            group.close().map(drop)
        };
        write().map_err(failed)?;
        self.rows = 0;
        Ok(())
    }

    /// Writes what is left, and then what is said of the whole.
    pub(crate) fn finish(&mut self, about: &[(&str, String)]) -> io::Result<()> {
        if self.rows > 0 {
            self.write_rows()?;
        }
        for (key, value) in about {
            self.writer.append_key_value_metadata(KeyValue::new((*key).to_owned(), value.clone()));
        }
        self.writer.finish().map_err(failed)?;
        Ok(())
    }
}
