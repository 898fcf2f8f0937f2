//! Arrow types as the table format can hold them: it has no unsigned integers, no views of strings, no
//! dictionaries, and one resolution of time.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use hexwatch_contract::event::time_type;

use crate::error::{HistoryError, Result};
use crate::order::ORDER;

/// `schema` with each type replaced by one that a table can hold, and metadata dropped.
pub(crate) fn storable_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(storable_field).collect::<Vec<_>>()))
}

fn storable_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), storable(field.data_type()), field.is_nullable()))
}

fn storable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 | DataType::Duration(_) => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Date64 | DataType::Timestamp(..) => time_type(),
        DataType::Dictionary(_, value) => storable(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => {
            DataType::List(storable_field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(storable_field).collect::<Fields>()),
        other => other.clone(),
    }
}

/// Whether rows of `given` fit a table of `schema`. A column the table lacks is refused, because its values
/// would vanish; so is one of another type, because what cannot be converted would.
pub(crate) fn check_fit(table: &str, given: &Schema, schema: &Schema) -> Result<()> {
    let misfit = |reason: String| Err(HistoryError::Misfit { table: table.to_owned(), reason });
    for field in given.fields() {
        let Ok(column) = schema.field_with_name(field.name()) else {
            return misfit(format!("the table has no column `{}`", field.name()));
        };
        let given = storable(field.data_type());
        if !given.equals_datatype(column.data_type()) {
            return misfit(format!(
                "column `{}` is {} in the table, not {given}",
                field.name(),
                column.data_type()
            ));
        }
    }
    let lacking = |field: &&FieldRef| !field.is_nullable() && given.field_with_name(field.name()).is_err();
    match schema.fields().iter().filter(|field| field.name() != ORDER).find(lacking) {
        Some(field) => misfit(format!("they lack the column `{}`", field.name())),
        None => Ok(()),
    }
}

/// The columns of `batch` in the order and types of `schema`; one that lacks is null.
pub(crate) fn conform(table: &str, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    check_fit(table, &batch.schema(), schema)?;
    let column = |field: &FieldRef| -> Result<ArrayRef> {
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => cast(column, field.data_type()).map_err(HistoryError::arrow(table)),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema.clone(), columns).map_err(HistoryError::arrow(table))
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, StringArray, StringViewArray, UInt64Array};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn what_a_query_makes_is_stored_in_the_types_a_table_can_hold() {
        let words: DictionaryArray<Int32Type> = ["a", "b"].into_iter().collect();
        let batch = RecordBatch::try_from_iter([
            ("text", Arc::new(StringViewArray::from(vec!["x", "y"])) as ArrayRef),
            ("number", Arc::new(UInt64Array::from(vec![1, 2]))),
            ("word", Arc::new(words)),
        ])
        .unwrap();
        let schema = storable_schema(&batch.schema());
        let stored = conform("t", &batch, &schema).unwrap();
        assert_eq!(stored.schema(), schema);
        let word = stored.column_by_name("word").unwrap().as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(word.value(1), "b");
    }

    #[test]
    fn a_column_of_another_type_is_refused_not_emptied() {
        let table = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let given = Schema::new(vec![Field::new("n", DataType::Utf8, true)]);
        let error = check_fit("t", &given, &table).unwrap_err();
        assert!(error.to_string().contains("column `n` is Int64 in the table, not Utf8"), "{error}");
        assert!(check_fit("t", &Schema::new(vec![Field::new("n", DataType::UInt32, true)]), &table).is_ok());
    }
}
