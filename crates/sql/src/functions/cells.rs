//! H3. A null in gives a null out, and so does a value that is no cell, as in the extension of `DuckDB`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, Int64Builder, ListBuilder, StringArray};
use arrow::datatypes::DataType::{Float64, Int64, List, Utf8};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use datafusion::logical_expr::ScalarUDF;
use hexwatch_contract::Cell;
use hexwatch_contract::site::Datum;
use hexwatch_grid::{Area, cell, outline};

use super::function;

fn cells_type() -> DataType {
    List(Arc::new(Field::new_list_field(Int64, true)))
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let two = [Int64, Int64];
    vec![
        function("h3_latlng_to_cell", &[Float64, Float64, Int64], Int64, |columns| {
            Ok(latlng_to_cell(columns))
        }),
        function("h3_cell_to_lat", &[Int64], Float64, |columns| Ok(degrees(columns, |(_, lat)| lat))),
        function("h3_cell_to_lng", &[Int64], Float64, |columns| Ok(degrees(columns, |(lon, _)| lon))),
        function("h3_cell_to_parent", &two, Int64, |columns| {
            Ok(numbers(columns, |one, res| {
                Some(cell::parent(Cell::from_i64(one), resolution(res)?)?.to_i64())
            }))
        }),
        function("h3_cell_to_children", &two, cells_type(), |columns| {
            Ok(lists(pairs(columns).map(|(one, res)| cell::children(checked(one?)?, resolution(res?)?))))
        }),
        function("h3_cell_to_boundary_wkt", &[Int64], Utf8, |columns| {
            Ok(texts(longs(&columns[0]).iter().map(|one| outline::wkt(checked(one?)?))))
        }),
        grid_disk(),
        function("h3_grid_distance", &two, Int64, |columns| {
            Ok(numbers(columns, |one, other| cell::distance(checked(one)?, checked(other)?)))
        }),
        function("h3_polygon_wkt_to_cells", &[Utf8, Int64], cells_type(), |columns| {
            Ok(polygon_wkt_to_cells(columns))
        }),
        function("h3_h3_to_string", &[Int64], Utf8, |columns| {
            Ok(texts(longs(&columns[0]).iter().map(|one| checked(one?).map(|cell| cell.to_string()))))
        }),
        function("h3_string_to_h3", &[Utf8], Int64, |columns| {
            let parsed =
                columns[0].as_string::<i32>().iter().map(|text| cell::parse(text?).map(Cell::to_i64));
            Ok(Arc::new(parsed.collect::<Int64Array>()))
        }),
    ]
}

pub(crate) fn grid_disk() -> ScalarUDF {
    function("h3_grid_disk", &[Int64, Int64], cells_type(), |columns| {
        Ok(lists(pairs(columns).map(|(one, k)| cell::disk(checked(one?)?, u32::try_from(k?).ok()?))))
    })
}

fn checked(index: i64) -> Option<Cell> {
    cell::checked(index)
}

fn resolution(res: i64) -> Option<u8> {
    u8::try_from(res).ok()
}

fn longs(column: &ArrayRef) -> &Int64Array {
    column.as_primitive::<Int64Type>()
}

fn pairs(columns: &[ArrayRef]) -> impl Iterator<Item = (Option<i64>, Option<i64>)> {
    longs(&columns[0]).iter().zip(longs(&columns[1]).iter())
}

fn numbers(columns: &[ArrayRef], of: impl Fn(i64, i64) -> Option<i64>) -> ArrayRef {
    Arc::new(pairs(columns).map(|(one, other)| of(one?, other?)).collect::<Int64Array>())
}

fn degrees(columns: &[ArrayRef], pick: impl Fn((f64, f64)) -> f64) -> ArrayRef {
    let centers = longs(&columns[0]).iter().map(|one| cell::center(checked(one?)?).map(&pick));
    Arc::new(centers.collect::<Float64Array>())
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn lists(rows: impl Iterator<Item = Option<Vec<Cell>>>) -> ArrayRef {
    let mut builder = ListBuilder::new(Int64Builder::new());
    for row in rows {
        if let Some(cells) = &row {
            builder.values().append_slice(&cells.iter().map(|cell| cell.to_i64()).collect::<Vec<_>>());
        }
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

fn latlng_to_cell(columns: &[ArrayRef]) -> ArrayRef {
    let (lats, lngs) = (columns[0].as_primitive::<Float64Type>(), columns[1].as_primitive::<Float64Type>());
    let points = lats.iter().zip(lngs).zip(longs(&columns[2]));
    let cells = points.map(|((lat, lng), res)| Some(cell::cell_at(lng?, lat?, resolution(res?)?)?.to_i64()));
    Arc::new(cells.collect::<Int64Array>())
}

fn polygon_wkt_to_cells(columns: &[ArrayRef]) -> ArrayRef {
    let rows = columns[0].as_string::<i32>().iter().zip(longs(&columns[1]));
    let cells = |text: &str, res: i64| {
        let area = Area::from_wkt(text, Datum::Wgs84).ok()?;
        area.cells_within(resolution(res)?).ok()
    };
    lists(rows.map(|(text, res)| cells(text?, res?)))
}
