//! A rule's rows as [`RuleHit`]s.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use hexwatch_contract::alarm::{Class, ConfirmLevel, Input, Priority, RuleHit, Transition};
use hexwatch_contract::event::time_type;
use hexwatch_contract::{Cell, EventTime};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::StreamError;
use crate::rows::micros;

/// Which rule a query is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) version: u32,
    pub(crate) class: Class,
}

/// Columns with this prefix are measured values.
const MEASURED: &str = "m_";

/// The columns that identify a rule's row.
pub(crate) const KEY: [&str; 3] = ["key", "window_start", "transition"];

/// Why the rows of `schema` are no rule's; `None` where they are.
pub(crate) fn complaint(schema: &Schema) -> Option<String> {
    let wanted = [
        ("key", DataType::Utf8),
        ("window_start", time_type()),
        ("at", time_type()),
        ("transition", DataType::Utf8),
        ("priority", DataType::Int64),
        ("site", DataType::Utf8),
    ];
    wanted.into_iter().find_map(|(name, wanted)| match schema.field_with_name(name) {
        Err(_) => Some(format!("a rule's rows need the column `{name}`")),
        Ok(field) if !can_cast_types(field.data_type(), &wanted) => {
            Some(format!("a rule's column `{name}` is {} and should be {wanted}", field.data_type()))
        }
        Ok(_) => None,
    })
}

/// The hits that the rows of `batch` are.
pub(crate) fn hits(rule: &Rule, batch: &RecordBatch) -> Result<Vec<RuleHit>, StreamError> {
    let rows = Rows { rule, batch };
    (0..batch.num_rows()).map(|row| rows.hit(row)).collect()
}

struct Rows<'a> {
    rule: &'a Rule,
    batch: &'a RecordBatch,
}

impl Rows<'_> {
    fn hit(&self, row: usize) -> Result<RuleHit, StreamError> {
        let priority = self.number::<Int64Type>("priority", row)?.unwrap_or_default();
        let priority = u8::try_from(priority).ok().and_then(|number| Priority::try_from(number).ok());
        let class = self.text("class", row)?.map(|text| self.word::<Class>("class", &text)).transpose()?;
        let level = self.text("confirm_level", row)?;
        Ok(RuleHit {
            rule: Arc::clone(&self.rule.name),
            rule_version: self.rule.version,
            class: class.unwrap_or(self.rule.class),
            key: self.required("key", row)?,
            window_start: self.time("window_start", row)?,
            at: self.time("at", row)?,
            transition: self.word::<Transition>("transition", &self.required("transition", row)?)?,
            priority: priority.ok_or_else(|| self.wrong("priority", "not from 1 to 4"))?,
            confirm_level: level
                .map(|text| self.word::<ConfirmLevel>("confirm_level", &text))
                .transpose()?
                .unwrap_or_default(),
            site: self.required("site", row)?,
            device: self.text("device", row)?,
            cell: self.number::<Int64Type>("cell", row)?.map(Cell::from_i64),
            lon: self.number::<Float64Type>("lon", row)?,
            lat: self.number::<Float64Type>("lat", row)?,
            inputs: self.inputs(row)?,
            measured: self.measured(row)?,
            drill: self.flag("drill", row),
        })
    }

    fn wrong(&self, column: &'static str, value: impl Into<String>) -> StreamError {
        StreamError::Hit { rule: self.rule.name.to_string(), column, value: value.into() }
    }

    fn column(&self, name: &str, row: usize) -> Option<&ArrayRef> {
        self.batch.column_by_name(name).filter(|column| column.is_valid(row))
    }

    fn text(&self, name: &str, row: usize) -> Result<Option<String>, StreamError> {
        self.column(name, row).map(|column| text_at(column, row)).transpose()
    }

    fn required(&self, name: &'static str, row: usize) -> Result<String, StreamError> {
        self.text(name, row)?.ok_or_else(|| self.wrong(name, "null"))
    }

    fn word<T: DeserializeOwned>(&self, column: &'static str, text: &str) -> Result<T, StreamError> {
        serde_json::from_value(Value::from(text)).map_err(|_| self.wrong(column, format!("`{text}`")))
    }

    fn time(&self, name: &'static str, row: usize) -> Result<EventTime, StreamError> {
        let column = self.column(name, row).ok_or_else(|| self.wrong(name, "null"))?;
        Ok(EventTime::from_micros(micros(&column.slice(row, 1))?.value(0)))
    }

    fn number<T: arrow::datatypes::ArrowPrimitiveType>(
        &self,
        name: &str,
        row: usize,
    ) -> Result<Option<T::Native>, StreamError> {
        let Some(column) = self.column(name, row) else { return Ok(None) };
        let value = cast(&column.slice(row, 1), &T::DATA_TYPE)?;
        Ok(value.is_valid(0).then(|| value.as_primitive::<T>().value(0)))
    }

    fn flag(&self, name: &str, row: usize) -> bool {
        self.column(name, row)
            .and_then(|column| column.as_boolean_opt())
            .is_some_and(|flags| flags.value(row))
    }

    /// The records behind the row, each once, in order.
    fn inputs(&self, row: usize) -> Result<Vec<Input>, StreamError> {
        let Some(column) = self.column("inputs", row) else { return Ok(Vec::new()) };
        let members = column.as_list_opt::<i32>().map(|lists| lists.value(row));
        let members = members.as_ref().and_then(|members| members.as_struct_opt());
        let members = members.ok_or_else(|| self.wrong("inputs", "no list of input(...)"))?;
        let field = |name: &str| {
            members.column_by_name(name).ok_or_else(|| self.wrong("inputs", format!("without `{name}`")))
        };
        let (topics, ids, roles) = (field("topic")?, field("id")?, field("role")?);
        let (partitions, offsets) =
            (cast(field("partition")?, &DataType::Int64)?, cast(field("offset")?, &DataType::Int64)?);
        let (partitions, offsets) =
            (partitions.as_primitive::<Int64Type>(), offsets.as_primitive::<Int64Type>());
        let mut inputs = Vec::with_capacity(members.len());
        for member in
            (0..members.len()).filter(|member| members.is_valid(*member) && offsets.is_valid(*member))
        {
            inputs.push(Input {
                topic: text_at(topics, member)?,
                partition: i32::try_from(partitions.value(member)).unwrap_or(-1),
                offset: offsets.value(member),
                id: text_at(ids, member)?,
                role: text_at(roles, member)?,
            });
        }
        inputs.sort_unstable();
        inputs.dedup();
        Ok(inputs)
    }

    fn measured(&self, row: usize) -> Result<Map<String, Value>, StreamError> {
        let mut measured = Map::new();
        for (field, column) in self.batch.schema().fields().iter().zip(self.batch.columns()) {
            if let Some(name) = field.name().strip_prefix(MEASURED)
                && column.is_valid(row)
            {
                measured.insert(name.to_owned(), value_at(column, row)?);
            }
        }
        Ok(measured)
    }
}

fn text_at(column: &ArrayRef, row: usize) -> Result<String, StreamError> {
    Ok(cast(&column.slice(row, 1), &DataType::Utf8)?.as_string::<i32>().value(0).to_owned())
}

fn value_at(column: &ArrayRef, row: usize) -> Result<Value, StreamError> {
    let kind = column.data_type();
    Ok(if let Some(flags) = column.as_boolean_opt() {
        flags.value(row).into()
    } else if kind.is_integer() {
        cast(&column.slice(row, 1), &DataType::Int64)?.as_primitive::<Int64Type>().value(0).into()
    } else if kind.is_floating() || matches!(kind, DataType::Decimal128(..)) {
        cast(&column.slice(row, 1), &DataType::Float64)?.as_primitive::<Float64Type>().value(0).into()
    } else if matches!(kind, DataType::Timestamp(..)) {
        EventTime::from_micros(micros(&column.slice(row, 1))?.value(0)).to_string().into()
    } else {
        text_at(column, row)?.into()
    })
}
