//! The mail itself.

use crate::Config;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::text::Text;
use quarterdeck_plugin_support::group::{Group, is_group};
use quarterdeck_plugin_support::template::Renderer;
use quarterdeck_plugin_support::{delivery, words};
use quarterdeck_sdk::Failure;
use quarterdeck_sdk::notifier::Message;

/// Where there is no template. `COLOUR` is filled in before it is read.
const HTML: &str = include_str!("mail.html");
const SUBJECT_BYTES: usize = 500;

pub(crate) struct Mail {
    /// The same for every attempt.
    pub(crate) id: String,
    /// Addresses of the envelope.
    pub(crate) from: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) renderer: Renderer,
}

/// A mailbox as people write it: `ops@example.com`, `Ops <ops@example.com>`. Gives the name, if there is one, and the address.
pub(crate) fn mailbox(text: &str) -> Option<(Option<&str>, &str)> {
    let (name, address) = match text.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"'), address),
        None => ("", text.trim()),
    };
    let (local, domain) = address.rsplit_once('@')?;
    // What ends a line or an address would begin another command.
    let fits = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b',' | b';'))
    };
    let is_mailbox = fits(local) && fits(domain) && !name.chars().any(char::is_control);
    is_mailbox.then_some((Some(name).filter(|name| !name.is_empty()), address))
}

fn bare(text: &str) -> Result<String, Failure> {
    let found = mailbox(text).ok_or_else(|| Failure::rejected(format!("`{text}` is not a mail address")))?;
    Ok(found.1.to_owned())
}

fn listed(mailboxes: &[String]) -> Address<'_> {
    let found = mailboxes.iter().filter_map(|text| mailbox(text));
    Address::new_list(found.map(|(name, address)| Address::new_address(name, address)).collect())
}

pub(crate) fn write(config: &Config, message: &Message, key: &str) -> Result<Mail, Failure> {
    let group = Group::of(message);
    let mut renderer = Renderer::new(message, &group, key);
    let subject = renderer.text("subject", config.subject.as_ref(), || words::title(message, &group));
    let subject = words::cut(&one_line(&subject), SUBJECT_BYTES);
    let text = renderer.text("text", config.text.as_ref(), || words::plain(message, &group));
    let html = (!config.text_only).then(|| html(config, message, &group, &mut renderer)).flatten();

    let from = bare(&config.from)?;
    let mut recipients = Vec::new();
    for (_, recipient) in config.recipients() {
        let address = bare(recipient)?;
        if !recipients.contains(&address) {
            recipients.push(address);
        }
    }
    let domain = from.rsplit('@').next().unwrap_or("localhost");
    let id = format!("{}@{domain}", delivery::header_text(key));
    let mut mail = MessageBuilder::new()
        .from(listed(std::slice::from_ref(&config.from)))
        .to(listed(&config.to))
        .subject(subject)
        .message_id(id.clone())
        // What is about one thing is shown as one conversation.
        .references(MessageId::new(format!("{}@{domain}", thread(message, &group))))
        // When it happened: a second attempt is the same mail.
        .date(message.at_ms.div_euclid(1000))
        .header("Auto-Submitted", Text::new("auto-generated"))
        .header("X-Quarterdeck-Event", Text::new(delivery::header_text(&message.event_type)))
        .text_body(text);
    if !config.cc.is_empty() {
        mail = mail.cc(listed(&config.cc));
    }
    if let Some(reply_to) = &config.reply_to {
        mail = mail.reply_to(listed(std::slice::from_ref(reply_to)));
    }
    if let Some(html) = html {
        mail = mail.html_body(html);
    }
    let bytes = mail.write_to_vec().map_err(|error| Failure::other(error.to_string()))?;
    Ok(Mail { id, from, recipients, bytes, renderer })
}

/// A template that fails leaves the text alone.
fn html(config: &Config, message: &Message, group: &Group, renderer: &mut Renderer) -> Option<String> {
    match &config.html {
        Some(source) => renderer.try_text("html", source),
        // A configured text says what is to be said: HTML of another kind beside it would say something else.
        None if config.text.is_some() => None,
        None => {
            let source = HTML.replace("COLOUR", words::colour(message.severity, group.is_firing()));
            renderer.try_text("html", &source)
        }
    }
}

/// Of the thing, for [`MessageBuilder::references`]: letters and digits only.
fn thread(message: &Message, group: &Group) -> String {
    let key = if is_group(message) { &group.group_key } else { &message.subject };
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("thread-{hash:016x}")
}

fn one_line(text: &str) -> String {
    text.trim().chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::mailbox;

    #[test]
    fn mailboxes_are_read_as_people_write_them() {
        assert_eq!(mailbox("ops@example.com"), Some((None, "ops@example.com")));
        assert_eq!(mailbox("The Ops <ops@example.com>"), Some((Some("The Ops"), "ops@example.com")));
        assert_eq!(mailbox("\"Ops, all\" <ops@example.com>"), Some((Some("Ops, all"), "ops@example.com")));
        for text in ["", "ops", "@", "a@", "a b@c", "a@b>\r\nRCPT TO:<c@d", "x\ny <a@b>", "a@b,c@d", "<a@b"] {
            assert_eq!(mailbox(text), None, "{text:?}");
        }
    }
}
