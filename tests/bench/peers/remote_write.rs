//! Samples, as remote write sends them.

use crate::server::Server;

/// One series: its labels in the order of their names, and its samples, oldest first.
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, String)>,
    /// Milliseconds since 1970.
    pub(crate) samples: Vec<(i64, f64)>,
}

/// Sends them in one request, and waits until they are taken.
pub(crate) async fn write(server: &Server, series: &[Series]) {
    let mut request = Vec::new();
    for Series { labels, samples } in series {
        let mut one = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            message(&mut label, 1, name.as_bytes());
            message(&mut label, 2, value.as_bytes());
            message(&mut one, 1, &label);
        }
        for (at, value) in samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, at.cast_unsigned());
            message(&mut one, 2, &sample);
        }
        message(&mut request, 1, &one);
    }
    let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let request = server
        .post_as_prometheus("/api/v1/write")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await.unwrap());
}

/// A field of protobuf with bytes.
fn message(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
