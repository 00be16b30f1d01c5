//! OTLP's protobuf, read into the same types as its JSON.

use super::json;
use super::model::{
    Anything, Attribute, Histogram, Histograms, Kind, Metric, Number, Point, Points, Quantile, Request,
    ResourceMetrics, ScopeMetrics, Sum, Summary,
};
use crate::Error;
use crate::wire::{Message, Value};
use serde_json::Map;

/// Messages in a request, at most: an empty one takes two bytes there, and far more here.
const MESSAGES: usize = 1_000_000;
/// Lists and maps in one another, at most.
const DEPTH: usize = 32;

pub(super) fn read(bytes: &[u8]) -> Result<Request, Error> {
    let mut reader = Reader { left: MESSAGES };
    let mut request = Request::default();
    let mut message = Message::new(bytes);
    while let Some((number, value)) = message.field()? {
        if number == 1 {
            request.resource_metrics.push(reader.resource(value.message()?)?);
        }
    }
    Ok(request)
}

struct Reader {
    left: usize,
}

impl Reader {
    fn take(&mut self) -> Result<(), Error> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Error::TooLarge(format!("there are more than {MESSAGES} messages; hint: send less at once"))
        })?;
        Ok(())
    }

    fn resource(&mut self, mut message: Message<'_>) -> Result<ResourceMetrics, Error> {
        self.take()?;
        let mut found = ResourceMetrics::default();
        while let Some((number, value)) = message.field()? {
            match number {
                1 => {
                    let mut resource = value.message()?;
                    while let Some((number, value)) = resource.field()? {
                        if number == 1 {
                            found.resource.attributes.push(self.attribute(value.message()?)?);
                        }
                    }
                }
                2 => {
                    self.take()?;
                    let mut scope = ScopeMetrics::default();
                    let mut message = value.message()?;
                    while let Some((number, value)) = message.field()? {
                        if number == 2 {
                            scope.metrics.push(self.metric(value.message()?)?);
                        }
                    }
                    found.scope_metrics.push(scope);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn metric(&mut self, mut message: Message<'_>) -> Result<Metric, Error> {
        self.take()?;
        let mut metric = Metric::default();
        while let Some((number, value)) = message.field()? {
            match number {
                1 => value.text("a metric's name")?.clone_into(&mut metric.name),
                2 => value.text("a metric's description")?.clone_into(&mut metric.description),
                3 => value.text("a metric's unit")?.clone_into(&mut metric.unit),
                5 => {
                    let data_points = self.points(value.message()?, Reader::number)?;
                    metric.kind = Some(Kind::Gauge(Points { data_points }));
                }
                7 => metric.kind = Some(Kind::Sum(self.sum(value.message()?)?)),
                9 => metric.kind = Some(Kind::Histogram(self.histograms(value.message()?)?)),
                10 => {
                    let data_points = self.points(value.message()?, |_, _| Ok(Anything {}))?;
                    metric.kind = Some(Kind::ExponentialHistogram(Points { data_points }));
                }
                11 => {
                    let data_points = self.points(value.message()?, Reader::summary)?;
                    metric.kind = Some(Kind::Summary(Points { data_points }));
                }
                _ => {}
            }
        }
        Ok(metric)
    }

    fn points<T>(
        &mut self,
        mut message: Message<'_>,
        read: impl Fn(&mut Reader, Message<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut points = Vec::new();
        while let Some((number, value)) = message.field()? {
            if number == 1 {
                self.take()?;
                points.push(read(self, value.message()?)?);
            }
        }
        Ok(points)
    }

    fn sum(&mut self, message: Message<'_>) -> Result<Sum, Error> {
        let mut sum = Sum { data_points: self.points(message, Reader::number)?, ..Sum::default() };
        let mut message = message;
        while let Some((number, value)) = message.field()? {
            match number {
                2 => sum.aggregation_temporality = value.varint()?.into(),
                3 => sum.is_monotonic = value.varint()? != 0,
                _ => {}
            }
        }
        Ok(sum)
    }

    fn histograms(&mut self, message: Message<'_>) -> Result<Histograms, Error> {
        let data_points = self.points(message, Reader::histogram)?;
        let mut histograms = Histograms { data_points, ..Histograms::default() };
        let mut message = message;
        while let Some((number, value)) = message.field()? {
            if number == 2 {
                histograms.aggregation_temporality = value.varint()?.into();
            }
        }
        Ok(histograms)
    }

    fn number(&mut self, mut message: Message<'_>) -> Result<Number, Error> {
        let mut point = Number::default();
        while let Some((number, value)) = message.field()? {
            match number {
                3 => point.point.time_unix_nano = value.fixed()?,
                4 => point.as_double = Some(value.double()?),
                6 => point.as_int = Some(value.fixed()?.cast_signed()),
                7 => point.attributes.push(self.attribute(value.message()?)?),
                8 => flags(&mut point.point, value)?,
                _ => {}
            }
        }
        Ok(point)
    }

    fn histogram(&mut self, mut message: Message<'_>) -> Result<Histogram, Error> {
        let mut point = Histogram::default();
        while let Some((number, value)) = message.field()? {
            match number {
                3 => point.point.time_unix_nano = value.fixed()?,
                4 => point.count = value.fixed()?,
                5 => point.sum = Some(value.double()?),
                6 => fixed(value, |bits| point.bucket_counts.push(bits))?,
                7 => fixed(value, |bits| point.explicit_bounds.push(f64::from_bits(bits)))?,
                9 => point.attributes.push(self.attribute(value.message()?)?),
                10 => flags(&mut point.point, value)?,
                _ => {}
            }
        }
        Ok(point)
    }

    fn summary(&mut self, mut message: Message<'_>) -> Result<Summary, Error> {
        let mut point = Summary::default();
        while let Some((number, value)) = message.field()? {
            match number {
                3 => point.point.time_unix_nano = value.fixed()?,
                4 => point.count = value.fixed()?,
                5 => point.sum = value.double()?,
                6 => {
                    self.take()?;
                    let mut quantile = Quantile::default();
                    let mut message = value.message()?;
                    while let Some((number, value)) = message.field()? {
                        match number {
                            1 => quantile.quantile = value.double()?,
                            2 => quantile.value = value.double()?,
                            _ => {}
                        }
                    }
                    point.quantile_values.push(quantile);
                }
                7 => point.attributes.push(self.attribute(value.message()?)?),
                8 => flags(&mut point.point, value)?,
                _ => {}
            }
        }
        Ok(point)
    }

    fn attribute(&mut self, mut message: Message<'_>) -> Result<Attribute, Error> {
        self.take()?;
        let mut attribute = Attribute::default();
        while let Some((number, value)) = message.field()? {
            match number {
                1 => value.text("an attribute's name")?.clone_into(&mut attribute.key),
                2 => attribute.value = json::text(&self.anything(value.message()?, 0)?),
                _ => {}
            }
        }
        Ok(attribute)
    }

    /// An `AnyValue`, as JSON.
    fn anything(&mut self, mut message: Message<'_>, depth: usize) -> Result<serde_json::Value, Error> {
        self.take()?;
        if depth > DEPTH {
            return Err(Error::malformed(format!(
                "the value of an attribute has more than {DEPTH} lists in one another"
            )));
        }
        let mut found = serde_json::Value::Null;
        while let Some((number, value)) = message.field()? {
            found = match number {
                1 => value.text("an attribute's value")?.into(),
                2 => (value.varint()? != 0).into(),
                3 => value.signed()?.into(),
                4 => value.double()?.into(),
                5 => {
                    let mut items = Vec::new();
                    let mut list = value.message()?;
                    while let Some((number, value)) = list.field()? {
                        if number == 1 {
                            items.push(self.anything(value.message()?, depth + 1)?);
                        }
                    }
                    items.into()
                }
                6 => {
                    let mut entries = Map::new();
                    let mut list = value.message()?;
                    while let Some((number, value)) = list.field()? {
                        if number == 1 {
                            let (key, value) = self.entry(value.message()?, depth + 1)?;
                            entries.insert(key, value);
                        }
                    }
                    entries.into()
                }
                7 => hex(value.bytes()?).into(),
                _ => found,
            };
        }
        Ok(found)
    }

    fn entry(&mut self, mut message: Message<'_>, depth: usize) -> Result<(String, serde_json::Value), Error> {
        let mut entry = (String::new(), serde_json::Value::Null);
        while let Some((number, value)) = message.field()? {
            match number {
                1 => value.text("an attribute's name")?.clone_into(&mut entry.0),
                2 => entry.1 = self.anything(value.message()?, depth)?,
                _ => {}
            }
        }
        Ok(entry)
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
        text.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

fn flags(point: &mut Point, value: Value<'_>) -> Result<(), Error> {
    point.flags = u32::try_from(value.varint()?).unwrap_or(0);
    Ok(())
}

/// Numbers that are packed, or single ones of a field that is repeated.
fn fixed(value: Value<'_>, mut take: impl FnMut(u64)) -> Result<(), Error> {
    if let Value::Fixed64(bits) = value {
        take(bits);
        return Ok(());
    }
    let mut packed = value.message()?;
    while let Some(bits) = packed.fixed64()? {
        take(bits);
    }
    Ok(())
}
