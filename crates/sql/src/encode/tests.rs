use std::sync::Arc;

use super::*;
use crate::batch_session;

async fn encoded(format: Format, sql: &str) -> String {
    let frame = batch_session().sql(sql).await.unwrap();
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.unwrap();
    String::from_utf8_lossy(&encode(format, &schema, &batches).unwrap()).into_owned()
}

const ROW: &str = "SELECT h3_string_to_h3('8928308280fffff') AS cell, h3_string_to_h3('8928308280fffff') AS top_cell, \
    7 AS n, CAST(NULL AS BIGINT) AS nothing, \
    CAST('2026-05-11T01:00:00.25Z' AS TIMESTAMP) AS at, make_array(1, 2) AS list, 'a,b' AS text";

#[tokio::test]
async fn json_shows_cells_as_hex_times_in_utc_and_nulls() {
    assert_eq!(
        encoded(Format::Json, ROW).await,
        r#"[{"cell":"8928308280fffff","top_cell":"8928308280fffff","n":7,"nothing":null,"at":"2026-05-11T01:00:00.250Z","list":[1,2],"text":"a,b"}]"#
    );
}

#[tokio::test]
async fn csv_has_a_header_and_puts_lists_into_a_field() {
    assert_eq!(
        encoded(Format::Csv, ROW).await,
        "cell,top_cell,n,nothing,at,list,text\n\
         8928308280fffff,8928308280fffff,7,,2026-05-11T01:00:00.250Z,\"[1,2]\",\"a,b\"\n"
    );
}

#[tokio::test]
async fn a_table_is_for_people() {
    let table = encoded(Format::Table, ROW).await;
    assert!(
        table.contains("| 8928308280fffff |") && table.contains("| 2026-05-11T01:00:00.250Z |"),
        "{table}"
    );
}

#[tokio::test]
async fn a_result_without_rows_still_says_its_columns() {
    let none = format!("{ROW} WHERE false");
    assert_eq!(encoded(Format::Csv, &none).await, "cell,top_cell,n,nothing,at,list,text\n");
    assert_eq!(encoded(Format::Json, &none).await, "[]");
    assert!(encoded(Format::Table, &none).await.contains("top_cell"));
}

#[tokio::test]
async fn arrow_keeps_cells_as_numbers() {
    let frame = batch_session().sql(ROW).await.unwrap();
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let bytes = encode(Format::Arrow, &schema, &frame.collect().await.unwrap()).unwrap();
    let mut reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert_eq!(batch.column(0).data_type(), &arrow::datatypes::DataType::Int64);
}

#[test]
fn an_unknown_format_is_named() {
    assert_eq!(
        "xml".parse::<Format>().unwrap_err().to_string(),
        "there is no format `xml`; write table, csv, json or arrow"
    );
}
