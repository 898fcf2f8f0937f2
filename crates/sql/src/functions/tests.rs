use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;

use crate::batch_session;

async fn run(sql: &str) -> Vec<RecordBatch> {
    batch_session().sql(sql).await.unwrap().collect().await.unwrap()
}

/// The first row's values, as text.
async fn row(sql: &str) -> Vec<String> {
    let text = pretty_format_batches(&run(sql).await).unwrap().to_string();
    let line = text.lines().nth(3).unwrap().to_owned();
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[tokio::test]
async fn cells_are_named_and_numbered_as_h3_does() {
    let sql = "SELECT h3_h3_to_string(h3_latlng_to_cell(37.775205944792, -122.418307270836, 9)), \
        h3_string_to_h3('8928308280fffff'), h3_h3_to_string(h3_cell_to_parent(h3_string_to_h3('8928308280fffff'), 8)), \
        array_length(h3_grid_disk(h3_string_to_h3('8928308280fffff'), 1)), \
        array_length(h3_cell_to_children(h3_string_to_h3('8928308280fffff'), 11))";
    assert_eq!(row(sql).await, ["8928308280fffff", "617700169958293503", "8828308281fffff", "7", "49"]);
}

#[tokio::test]
async fn a_cell_knows_its_centre_outline_and_distance() {
    let sql = "SELECT round(h3_cell_to_lat(c), 3), round(h3_cell_to_lng(c), 3), \
        substr(h3_cell_to_boundary_wkt(c), 1, 15), h3_grid_distance(c, c), \
        array_length(h3_polygon_wkt_to_cells(h3_cell_to_boundary_wkt(c), 10)) \
        FROM (VALUES (h3_string_to_h3('8928308280fffff'))) AS t(c)";
    assert_eq!(row(sql).await, ["37.777", "-122.418", "POLYGON ((-122.", "0", "7"]);
}

#[tokio::test]
async fn null_or_nonsense_in_gives_null_out() {
    let sql = "SELECT h3_latlng_to_cell(NULL, 1.0, 9), h3_latlng_to_cell(91.0, 1.0, 9), h3_latlng_to_cell(1.0, 1.0, 16), \
        h3_cell_to_lat(5), h3_h3_to_string(-1), h3_string_to_h3('xx'), h3_cell_to_parent(5, 3), h3_grid_disk(NULL, 1), \
        h3_polygon_wkt_to_cells('nonsense', 9), h3_grid_distance(5, 6)";
    assert_eq!(row(sql).await, [""; 10]);
}

#[tokio::test]
async fn an_input_is_a_struct_that_can_be_collected() {
    let sql = "SELECT array_agg(input(topic, p, o, id, 'denied') ORDER BY o) FROM \
        (VALUES ('access', 1, 7, 'a'), ('access', 1, 8, 'b')) AS t(topic, p, o, id)";
    let batch = &run(sql).await[0];
    assert_eq!(batch.column(0).data_type(), &hexwatch_contract::catalog::inputs_type());
    let both = "SELECT make_array(input('a', 1, 2, 'x', 'r'), input('a', 1, 3, 'y', 'r'))";
    assert_eq!(run(both).await[0].column(0).data_type(), &hexwatch_contract::catalog::inputs_type());
}

#[tokio::test]
async fn geometry_functions_are_there() {
    assert_eq!(row("SELECT ST_X(ST_Point(1.5, 2.5))").await, ["1.5"]);
}
