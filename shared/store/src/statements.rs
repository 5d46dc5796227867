//! All statements by name, for the test that prepares each against the migrated schema.

use crate::{account, api_key, message, message_control, message_read, message_tick, signing_secret, tick};

/// Every statement.
pub const ALL: [&str; 24] = [
    account::CREATE,
    account::FIND,
    api_key::CREATE,
    api_key::LIST,
    api_key::REVOKE,
    api_key::USE,
    message::LOAD,
    message::PUBLISH,
    message::RELEASE,
    message::SETTLE,
    message_control::CANCEL,
    message_control::RESEND,
    message_control::RETRY,
    message_read::ATTEMPTS,
    message_read::COUNTS,
    message_read::GET,
    message_read::LIST,
    message_tick::CLAIM,
    message_tick::REAP,
    message_tick::UNKICK,
    signing_secret::LIST,
    signing_secret::ROTATE,
    tick::LOOK,
    tick::PULSE,
];
