//! How messages to one notifier are held back, gathered, and sent another way.

use crate::plugin::InstanceName;
use crate::severity::Severity;
use crate::time::Span;
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

/// What is held back is never lost: it is told later, several messages as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DeliverySpec {
    /// What is above it is gathered, and told when there is room again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// What comes then is told when they are over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quiet_hours: Vec<QuietHours>,
    /// Messages are gathered for so long, and told as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Span>,
    /// Another notifier, which is told what this one could not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<InstanceName>,
    /// Unless given, it is told when a delivery is given up on; otherwise as soon as one has been failing for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_after: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RateLimit {
    pub messages: NonZeroU32,
    pub per: Span,
}

/// Hours of some days, by the clocks of a zone. From 22:00 to 07:00 goes on into the next day, and belongs to the one that it begins on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuietHours {
    /// Unless given, every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    pub from: TimeOfDay,
    /// At this time they are over. The same as `from`: a whole day.
    pub to: TimeOfDay,
    /// Unless given, UTC.
    #[serde(default, skip_serializing_if = "Zone::is_utc")]
    pub zone: Zone,
    /// What is at least this severe is told all the same. Unless given, nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_severity: Option<Severity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    pub const ALL: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
}

/// `07:30`, on a clock of 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    pub hour: u8,
    pub minute: u8,
}

impl TimeOfDay {
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let two = |text: &str| {
            text.parse::<u8>().ok().filter(|_| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
        };
        let (hour, minute) = (two(hour)?, two(minute)?);
        (hour < 24 && minute < 60).then_some(TimeOfDay { hour, minute })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// An IANA time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(pub Tz);

impl Zone {
    pub fn is_utc(&self) -> bool {
        self.0 == Tz::UTC
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone(Tz::UTC)
    }
}

macro_rules! as_text {
    ($type:ty, $parse:expr, $what:literal, $schema:tt) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(d)?;
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(&text).ok_or_else(|| de::Error::custom(format!(concat!("`{}` is not ", $what), text)))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

as_text!(TimeOfDay, TimeOfDay::parse, "a time of the day; write it like `22:00`", {
    "type": "string",
    "description": "A time of the day such as `22:00`.",
    "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"
});

as_text!(Zone, |text| text.parse().ok().map(Zone), "a time zone; write an IANA name such as `UTC` or `Europe/Berlin`", {
    "type": "string",
    "description": "An IANA time zone such as `UTC` or `Europe/Berlin`."
});

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back() {
        let written = json!({
            "rate-limit": {"messages": 10, "per": "1m"},
            "quiet-hours": [{"days": ["sat", "sun"], "from": "22:00", "to": "07:30", "zone": "Europe/Berlin", "minimum-severity": "critical"}],
            "digest": "5m", "fallback": "smtp/ops", "fallback-after": "10m",
        });
        let spec: DeliverySpec = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(spec.quiet_hours[0].to, TimeOfDay { hour: 7, minute: 30 });
        assert_eq!(serde_json::to_value(&spec).unwrap(), written);
        assert_eq!(serde_json::to_value(DeliverySpec::default()).unwrap(), json!({}));
    }

    #[test]
    fn what_is_no_time_and_no_zone_is_refused_in_words() {
        let refused = |hours| serde_json::from_value::<QuietHours>(hours).unwrap_err().to_string();
        for time in ["24:00", "7:00", "07:60", "noon", "-1:00", "+7:00", ""] {
            let told = refused(json!({"from": time, "to": "07:00"}));
            assert!(told.contains("is not a time of the day; write it like `22:00`"), "{told}");
        }
        let told = refused(json!({"from": "22:00", "to": "07:00", "zone": "Berlin"}));
        assert!(told.contains("`Berlin` is not a time zone"), "{told}");
        let told = serde_json::from_value::<RateLimit>(json!({"messages": 0, "per": "1m"})).unwrap_err();
        assert!(told.to_string().contains("nonzero"), "{told}");
    }
}
