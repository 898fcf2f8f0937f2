//! The site's registry as tables. The rows are made by the crate `sql` from a site of the crate `grid`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, SchemaRef};

use super::arrays::{always, maybe, schema_of};

/// The columns of `devices`: `devices.csv` in WGS 84, with `cell` at resolution 12 and `links` as a list.
#[must_use]
pub fn devices() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("id", DataType::Utf8),
            always("type", DataType::Utf8),
            always("site", DataType::Utf8),
            always("lon", DataType::Float64),
            always("lat", DataType::Float64),
            maybe("floor", DataType::Int64),
            maybe("footprint", DataType::Utf8),
            maybe("expected_heartbeat_s", DataType::Float64),
            always("in_service", DataType::Boolean),
            always("links", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
            maybe("source", DataType::Utf8),
            always("cell", DataType::Int64),
        ])
    });
    SCHEMA.clone()
}

/// The columns of `zones`; `wkt` is the area in WGS 84.
#[must_use]
pub fn zones() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("zone", DataType::Utf8),
            maybe("name", DataType::Utf8),
            maybe("class", DataType::Utf8),
            maybe("calendar", DataType::Utf8),
            always("site", DataType::Utf8),
            always("wkt", DataType::Utf8),
        ])
    });
    SCHEMA.clone()
}

/// The columns of `grids`; `wkt` is the area in WGS 84.
#[must_use]
pub fn grids() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("grid", DataType::Utf8),
            maybe("name", DataType::Utf8),
            maybe("officer_role", DataType::Utf8),
            always("site", DataType::Utf8),
            always("wkt", DataType::Utf8),
        ])
    });
    SCHEMA.clone()
}

/// The columns of `grid_cells`: which share of a cell (resolution 11) lies in which grid. A cell's shares sum
/// to 1, and one of its rows is `accountable`.
#[must_use]
pub fn grid_cells() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("cell", DataType::Int64),
            always("grid", DataType::Utf8),
            always("share", DataType::Float64),
            always("accountable", DataType::Boolean),
            maybe("officer_role", DataType::Utf8),
            always("site", DataType::Utf8),
        ])
    });
    SCHEMA.clone()
}

/// The columns of `checkpoints`, with `cell` at resolution 12.
#[must_use]
pub fn checkpoints() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("checkpoint", DataType::Utf8),
            maybe("name", DataType::Utf8),
            maybe("route", DataType::Utf8),
            always("site", DataType::Utf8),
            maybe("lon", DataType::Float64),
            maybe("lat", DataType::Float64),
            maybe("floor", DataType::Int64),
            always("key_area", DataType::Boolean),
            maybe("cell", DataType::Int64),
        ])
    });
    SCHEMA.clone()
}
