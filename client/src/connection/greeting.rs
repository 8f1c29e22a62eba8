//! The first words on a connection: who we are, and which database we mean.
//!
//! The redis crate has a greeting of its own, but keeps the server's answers to itself: a wrong password, a server
//! that is full and one that is busy with a script all look alike. Only the first will not pass, so these words are
//! ours. (AUTH in RESP3 is part of HELLO, whose answer the crate passes on.)

use redis::{Cmd, ConnectionInfo, ProtocolVersion, RedisConnectionInfo};

/// What is left for the crate to say, and the commands that are to follow.
pub(super) fn own_words(info: ConnectionInfo) -> (ConnectionInfo, Vec<Cmd>) {
    let settings = with_password(info.redis_settings());
    let mut words = Vec::new();
    let bare = match (settings.protocol(), settings.password()) {
        (ProtocolVersion::RESP2, Some(password)) => {
            let mut auth = redis::cmd("AUTH");
            auth.arg(settings.username()).arg(password);
            words.push(auth);
            without_credentials(&settings)
        }
        _ => settings.clone(),
    };
    if settings.db() != 0 {
        words.push(redis::cmd("SELECT").arg(settings.db()).to_owned());
    }
    (info.set_redis_settings(bare.set_db(0)), words)
}

/// A user without a password has an empty one: said nothing of, he would be `default`.
fn with_password(settings: &RedisConnectionInfo) -> RedisConnectionInfo {
    match (settings.username(), settings.password()) {
        (Some(_), None) => settings.clone().set_password(""),
        _ => settings.clone(),
    }
}

/// The same settings, told to a server as a stranger.
pub(super) fn without_credentials(settings: &RedisConnectionInfo) -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_protocol(settings.protocol()).set_db(settings.db())
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    fn words_of(url: &str) -> (RedisConnectionInfo, Vec<String>) {
        let (bare, words) = own_words(url.into_connection_info().unwrap());
        let shown = |word: &Cmd| String::from_utf8(word.get_packed_command()).unwrap().replace("\r\n", " ");
        (bare.redis_settings().clone(), words.iter().map(shown).collect())
    }

    #[test]
    fn credentials_and_database_are_told_in_our_own_words() {
        let (bare, words) = words_of("redis://user:secret@host/3");
        assert_eq!((bare.username(), bare.password(), bare.db()), (None, None, 0));
        assert_eq!(words, ["*3 $4 AUTH $4 user $6 secret ", "*2 $6 SELECT $1 3 "]);
        assert_eq!(words_of("redis://:secret@host").1, ["*2 $4 AUTH $6 secret "]);
        assert_eq!(words_of("redis://user@host").1, ["*3 $4 AUTH $4 user $0  "]);
        assert!(words_of("redis://host").1.is_empty());
    }

    #[test]
    fn in_resp3_the_credentials_stay_with_hello() {
        let (bare, words) = words_of("redis://user:secret@host/3?protocol=resp3");
        assert_eq!((bare.password(), bare.db()), (Some("secret"), 0));
        assert_eq!(words_of("redis://user@host?protocol=resp3").0.password(), Some(""));
        assert_eq!(words, ["*2 $6 SELECT $1 3 "]);
    }
}
