use super::*;

#[test]
fn every_binding_name_is_rendered() {
    let metrics = Metrics::new();
    let account = Account { read: 10, accepted: 6, duplicate: 1, late: 1, dead_letter: 2 };
    metrics.topic_assigned("iot");
    metrics.records_accounted("access", &account);
    metrics.records_refused("access", Stage::Schema, 2);
    metrics.alarm_raised("R06", Priority::P2);
    metrics.alarm_pushed(Duration::from_millis(40));
    metrics.watermark_aged(Duration::from_millis(10_500));
    metrics.lag_measured("access", 3, 17);
    metrics.rows_waiting(4);
    metrics.row_unpublished("hexwatch.alarms");
    metrics.worker_chunk("fenced");
    metrics.workers_counted(4, 2);
    metrics.rows_kept("r13_gas", 7, 900);
    metrics.turn_taken("records", Duration::from_millis(30));
    metrics.alarms_logged(Duration::from_millis(4));
    let text = metrics.render();
    for line in [
        "hexwatch_rows_waiting 4",
        "hexwatch_worker_connections 4",
        "hexwatch_partitions_unread 2",
        "hexwatch_kept_rows{queries=\"r13_gas\"} 7",
        "hexwatch_kept_bytes{queries=\"r13_gas\"} 900",
        "hexwatch_worker_chunks_total{outcome=\"fenced\"} 1",
        "hexwatch_rows_unpublished_total{topic=\"hexwatch.alarms\"} 1",
        "hexwatch_records_read_total{topic=\"access\"} 10",
        "hexwatch_records_read_total{topic=\"iot\"} 0",
        "hexwatch_records_total{topic=\"access\",outcome=\"accepted\"} 6",
        "hexwatch_records_total{topic=\"access\",outcome=\"duplicate\"} 1",
        "hexwatch_records_total{topic=\"access\",outcome=\"late\"} 1",
        "hexwatch_records_total{topic=\"access\",outcome=\"dead_letter\"} 2",
        "hexwatch_dead_letters_total{topic=\"access\",stage=\"schema\"} 2",
        "hexwatch_alarms_total{rule=\"R06\",priority=\"2\"} 1",
        "hexwatch_watermark_age_seconds 10.5",
        "hexwatch_consumer_lag{topic=\"access\",partition=\"3\"} 17",
        "hexwatch_alarm_latency_seconds_bucket{le=\"0.05\"} 1",
        "hexwatch_alarm_latency_seconds_count 1",
        "hexwatch_engine_turn_seconds_bucket{le=\"0.05\",work=\"records\"} 1",
        "hexwatch_alarm_log_seconds_bucket{le=\"0.005\"} 1",
    ] {
        assert!(text.lines().any(|given| given == line), "`{line}` is missing in\n{text}");
    }
}
