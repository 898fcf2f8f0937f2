//! Registering the catalog's tables with a session. Their columns stand in `contract::event` and
//! `contract::catalog`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use hexwatch_contract::Cell;
use hexwatch_contract::catalog::{TABLES, devices, grid_cells, grids, schema, zones};
use hexwatch_contract::cell::EVENT_RESOLUTION;
use hexwatch_contract::site::{Device, Places as _};
use hexwatch_grid::{Grid, GridCell, Site, Zone, cell};

/// Registers table `name` with `rows`, in the place of one of that name.
pub fn register_rows(
    session: &SessionContext,
    name: &str,
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
) -> Result<(), DataFusionError> {
    let table = MemTable::try_new(schema, vec![rows])?;
    session.deregister_table(name)?;
    session.register_table(name, Arc::new(table))?;
    Ok(())
}

/// Registers table `name` without rows.
pub fn register_empty(
    session: &SessionContext,
    name: &str,
    schema: SchemaRef,
) -> Result<(), DataFusionError> {
    register_rows(session, name, schema, Vec::new())
}

/// Registers every table of the catalog that `session` does not have yet, without rows: a query over a young
/// history is answered with no rows, and not with the news that a table is missing.
pub fn register_missing(session: &SessionContext) -> Result<(), DataFusionError> {
    for (name, _) in TABLES {
        if let (false, Some(schema)) = (session.table_exist(*name)?, schema(name)) {
            register_empty(session, name, schema)?;
        }
    }
    Ok(())
}

/// Registers `devices`, `zones`, `grids` and `grid_cells` of `site`, in the place of earlier ones.
pub fn register_site(session: &SessionContext, site: &Site) -> Result<(), DataFusionError> {
    for (name, rows) in site_rows(site)? {
        register_rows(session, name, rows.schema(), vec![rows])?;
    }
    Ok(())
}

/// The rows of `devices`, `zones`, `grids` and `grid_cells`.
pub fn site_rows(site: &Site) -> Result<[(&'static str, RecordBatch); 4], DataFusionError> {
    Ok([
        ("devices", device_rows(site)?),
        ("zones", zone_rows(site.zones())?),
        ("grids", grid_rows(site.grids())?),
        ("grid_cells", grid_cell_rows(site)?),
    ])
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    maybe_texts(values.map(Some))
}

fn maybe_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn device_rows(site: &Site) -> Result<RecordBatch, DataFusionError> {
    // A device without a cell would be one without a place, and the registry refuses those.
    let placed = |device: &&Device| site.of_device(&device.id).is_some();
    let rows = || site.devices().iter().filter(placed);
    let mut links =
        ListBuilder::new(StringBuilder::new()).with_field(Field::new_list_field(DataType::Utf8, true));
    for device in rows() {
        device.links.iter().for_each(|link| links.values().append_value(link));
        links.append(true);
    }
    let cell = |device: &Device| cell::cell_at(device.lon, device.lat, EVENT_RESOLUTION).map(Cell::to_i64);
    let columns: Vec<ArrayRef> = vec![
        texts(rows().map(|device| device.id.as_str())),
        texts(rows().map(|device| device.kind.as_str())),
        texts(rows().map(|device| device.site.as_str())),
        Arc::new(Float64Array::from_iter_values(rows().map(|device| device.lon))),
        Arc::new(Float64Array::from_iter_values(rows().map(|device| device.lat))),
        Arc::new(rows().map(|device| device.floor).collect::<Int64Array>()),
        maybe_texts(rows().map(|device| device.footprint.as_deref())),
        Arc::new(rows().map(|device| device.expected_heartbeat_s).collect::<Float64Array>()),
        Arc::new(rows().map(|device| Some(device.in_service)).collect::<BooleanArray>()),
        Arc::new(links.finish()),
        maybe_texts(rows().map(|device| device.source.as_deref())),
        Arc::new(rows().map(cell).collect::<Int64Array>()),
    ];
    Ok(RecordBatch::try_new(devices(), columns)?)
}

fn zone_rows(rows: &[Zone]) -> Result<RecordBatch, DataFusionError> {
    let areas: Vec<String> = rows.iter().map(|zone| zone.area.to_wkt()).collect();
    let columns = vec![
        texts(rows.iter().map(|zone| zone.zone.as_str())),
        texts(rows.iter().map(|zone| zone.name.as_str())),
        maybe_texts(rows.iter().map(|zone| zone.class.as_deref())),
        maybe_texts(rows.iter().map(|zone| zone.calendar.as_deref())),
        texts(rows.iter().map(|zone| zone.site.as_str())),
        texts(areas.iter().map(String::as_str)),
    ];
    Ok(RecordBatch::try_new(zones(), columns)?)
}

fn grid_rows(rows: &[Grid]) -> Result<RecordBatch, DataFusionError> {
    let areas: Vec<String> = rows.iter().map(|grid| grid.area.to_wkt()).collect();
    let columns = vec![
        texts(rows.iter().map(|grid| grid.grid.as_str())),
        texts(rows.iter().map(|grid| grid.name.as_str())),
        maybe_texts(rows.iter().map(|grid| grid.officer_role.as_deref())),
        texts(rows.iter().map(|grid| grid.site.as_str())),
        texts(areas.iter().map(String::as_str)),
    ];
    Ok(RecordBatch::try_new(grids(), columns)?)
}

fn grid_cell_rows(site: &Site) -> Result<RecordBatch, DataFusionError> {
    let rows: Vec<(&GridCell, &Grid)> = site
        .grid_cells()
        .iter()
        .filter_map(|row| Some((row, site.grids().iter().find(|grid| grid.grid == row.grid)?)))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(row, _)| row.cell.to_i64()))),
        texts(rows.iter().map(|(row, _)| row.grid.as_str())),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|(row, _)| row.share))),
        Arc::new(rows.iter().map(|(row, _)| Some(row.accountable)).collect::<BooleanArray>()),
        maybe_texts(rows.iter().map(|(_, grid)| grid.officer_role.as_deref())),
        texts(rows.iter().map(|(_, grid)| grid.site.as_str())),
    ];
    Ok(RecordBatch::try_new(grid_cells(), columns)?)
}
