//! Every limit of the API, one constant each. Sizes are in bytes, durations carry their unit; `n` is accepted, `n + 1` refused.

/// A whole request to the API.
pub const REQUEST_BYTES_MAX: usize = 5 * 1024 * 1024;
/// The `body` of one message.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An idempotency key, in characters.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// Labels of one message.
pub const LABELS_MAX: usize = 10;
/// One label, in characters.
pub const LABEL_CHARS_MAX: usize = 64;
/// Longest delay: 3,650 days.
pub const DELAY_SECONDS_MAX: i64 = 315_360_000;
/// Largest retry budget.
pub const ATTEMPTS_MAX: i64 = 100;
/// Retry budget when none is given.
pub const ATTEMPTS_DEFAULT: i64 = 5;
/// Longest push, where the host allows it.
pub const TIMEOUT_SECONDS_MAX: i64 = 840;
/// Longest push when none is given.
pub const TIMEOUT_SECONDS_DEFAULT: i64 = 30;
/// What a host keeps of its own limit for loading and settling: a timeout above `limit - this` is refused.
pub const TIMEOUT_RESERVE_SECONDS: i64 = 20;
/// Longest wait of a backoff: a year.
pub const BACKOFF_SECONDS_MAX: i64 = 31_536_000;
/// Longest wait of a backoff when none is given.
pub const BACKOFF_MAX_SECONDS_DEFAULT: i64 = 3_600;
/// First wait of a backoff when none is given.
pub const BACKOFF_INITIAL_SECONDS_DEFAULT: i64 = 1;
/// Growth of an exponential backoff when none is given.
pub const BACKOFF_FACTOR_DEFAULT: f64 = 5.0;
/// Largest growth of an exponential backoff.
pub const BACKOFF_FACTOR_MAX: f64 = 100.0;
/// What is kept of an answer's body.
pub const RESPONSE_BODY_BYTES_MAX: usize = 4096;
/// What a step gets of the answer to its call.
pub const FETCH_BODY_BYTES_MAX: usize = 1024 * 1024;
/// What is kept of an answer's headers, names and values together.
pub const RESPONSE_HEADERS_BYTES_MAX: usize = 8192;
/// Longest wait that an endpoint can ask for.
pub const RETRY_AFTER_MS_MAX: u64 = 86_400_000;
/// Pushes answered 429 (or 503 with Retry-After) before a message fails.
pub const THROTTLES_MAX: u32 = 200;
/// Shortest wait after such an answer.
pub const THROTTLE_WAIT_MS_MIN: u64 = 1_000;
/// Pushes whose process died before a message fails, and dispatches nobody answered before a run is paused.
pub const LOST_MAX: i16 = 30;
/// Members of an object, or entries of an array, in a request; a body's own are not counted.
pub const MEMBERS_MAX: usize = 100;
/// Characters of a field's name that an error shows.
pub const NAME_CHARS_SHOWN: usize = 128;
/// Errors that one answer lists.
pub const ERRORS_MAX: usize = 20;
/// Rows in one page of a list.
pub const PAGE_MAX: i64 = 200;
/// Rows in a page when no limit is given.
pub const PAGE_DEFAULT: i64 = 50;
/// Due times that a schedule is shown with.
pub const NEXT_RUNS_SHOWN: usize = 5;
/// Where counts of a status end.
pub const COUNT_MAX: i64 = 10_000;
/// Rows that one page of a filtered list, or one filtered count, looks at. With twice as many Postgres would compile the statement, which takes
/// longer than to run it.
pub const SCAN_MAX: i64 = 5_000;
/// A key's name, in characters.
pub const KEY_NAME_CHARS_MAX: usize = 64;
/// A list filter's text, in characters.
pub const FILTER_CHARS_MAX: usize = 2048;
/// How long an old signing secret goes on signing: default, and most (30 days), in seconds.
pub const OVERLAP_SECONDS_DEFAULT: i64 = 86_400;
/// The most of [`OVERLAP_SECONDS_DEFAULT`].
pub const OVERLAP_SECONDS_MAX: i64 = 2_592_000;
/// Longest delay that both wake queues can hold (SQS: 900 s).
pub const QUEUE_DELAY_MS_MAX: u64 = 900_000;
/// A row due within this is handed to the queue with an exact delay; a later one waits for tick.
pub const WINDOW_MS: u64 = QUEUE_DELAY_MS_MAX;
/// Bodies that one load may bring into memory.
pub const LOAD_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A loaded job that finds no slot within this is released unstarted; it is below the lease's 32 s of slack.
pub const START_WITHIN_MS: u64 = 20_000;
/// A job that starts later than this after it could have was held up by others of its batch.
pub const HELD_UP_MS: u64 = 1_000;
/// Entity-tags in one If-Match header.
pub const ETAGS_MAX: usize = 20;
/// Endpoints of one fanout.
pub const ENDPOINTS_MAX: usize = 1000;
/// A fanout's name, in characters.
pub const FANOUT_NAME_CHARS_MAX: usize = 64;
/// Messages of one batch.
pub const BATCH_MAX: usize = 1000;
/// A flow key, in characters.
pub const FLOW_KEY_CHARS_MAX: usize = 255;
/// Pushes at once of one flow, at most.
pub const FLOW_PARALLELISM_MAX: i64 = 10_000;
/// Starts of one flow in a period, at most.
pub const FLOW_RATE_MAX: i64 = 1_000_000;
/// The longest period of a rate: 30 days.
pub const FLOW_PERIOD_SECONDS_MAX: i64 = 2_592_000;
/// The period of a rate when none is given.
pub const FLOW_PERIOD_SECONDS_DEFAULT: i64 = 1;
/// URLs and headers of all endpoints of one fanout, as they are stored; it keeps an answer with all of them below what Lambda can send.
pub const FANOUT_BYTES_MAX: i64 = 2 * 1024 * 1024;
/// Where lists stop counting what waits for a flow or a breaker.
pub const WAITING_COUNT_MAX: i64 = 1_000;
/// A cron expression, in characters.
pub const CRON_CHARS_MAX: usize = 255;
/// A schedule's name, in characters.
pub const SCHEDULE_NAME_CHARS_MAX: usize = 64;
/// The longest period of a schedule by interval: 365 days.
pub const EVERY_SECONDS_MAX: i64 = 31_536_000;
/// How far ahead tick makes the messages of due times, so that they are pushed to the second: more than the minute between ticks.
pub const FIRE_AHEAD_MS: i64 = 90_000;
/// A due time that is older when tick comes was missed, and the schedule's catch-up policy decides; less is an ordinary late tick.
pub const FIRE_LATE_MS_MAX: i64 = 120_000;
/// Due times of one schedule that one statement fires.
pub const FIRES_MAX: i64 = 100;
/// Messages that one call of a bulk operation changes.
pub const BULK_MAX: usize = 1000;
/// Longest retention.
pub const RETENTION_DAYS_MAX: i64 = 3650;
/// Most ended pushes that a circuit breaker waits for.
pub const BREAKER_ATTEMPTS_MAX: i64 = 1_000_000;
/// Percent of them that must fail; at 101 it never opens.
pub const BREAKER_PERCENT_MAX: i64 = 101;
/// Longest time that a breaker stays open.
pub const BREAKER_OPEN_SECONDS_MAX: i64 = 86_400;
/// Highest request limit of an account, per minute.
pub const REQUESTS_PER_MINUTE_MAX: i64 = 100_000_000;
/// Messages that one statement makes for all schedules that are due; it makes more if one due time of a fanout does.
pub const FIRES_STATEMENT_MAX: i64 = 1_000;
/// Bodies that it copies, likewise.
pub const FIRES_STATEMENT_BYTES_MAX: i64 = 16 * 1024 * 1024;
/// A time zone's name, in characters.
pub const ZONE_CHARS_MAX: usize = 64;
/// Messages that the fanouts of one request make.
pub const FANOUT_MESSAGES_MAX: i64 = 10_000;
/// The bodies of all these messages; checked by the database.
pub const FANOUT_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// An app's name, in characters.
pub const APP_NAME_CHARS_MAX: usize = 64;
/// How long one dispatch of a run may take when its app does not say, where the host allows it.
pub const APP_TIMEOUT_SECONDS_DEFAULT: i64 = 60;
/// How long a dispatch that renews its lease may be silent when its app does not say.
pub const LEASE_SECONDS_DEFAULT: i64 = 30;
/// The most of [`LEASE_SECONDS_DEFAULT`].
pub const LEASE_SECONDS_MAX: i64 = 600;
/// An event's name, in characters.
pub const EVENT_NAME_CHARS_MAX: usize = 128;
/// Ids of runs that one answer to an event names, of those that it started and of those that it woke.
pub const EVENT_RUNS_SHOWN: usize = 1_000;
/// A step's key, in characters: its name, # and its occurrence.
pub const STEP_KEY_CHARS_MAX: usize = STEP_NAME_CHARS_MAX + 10;
/// A signal's value.
pub const SIGNAL_BYTES_MAX: usize = 1024 * 1024;
/// A step's name, in characters.
pub const STEP_NAME_CHARS_MAX: usize = 200;
/// A signal's name, in characters.
pub const SIGNAL_NAME_CHARS_MAX: usize = 128;
/// A workflow's name, in characters.
pub const WORKFLOW_NAME_CHARS_MAX: usize = 128;
/// A workflow's version, in characters.
pub const VERSION_CHARS_MAX: usize = 64;
/// The starter's own id of a run, or the publisher's own id of an event, in characters.
pub const EXTERNAL_ID_CHARS_MAX: usize = 255;
/// Ops of one reply or checkpoint.
pub const OPS_MAX: usize = 10_000;
/// An endpoint's reply to an invoke.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// An endpoint's answer to a describe.
pub const DESCRIBE_BYTES_MAX: usize = 1024 * 1024;
/// The value of one step, the input of a run, its output.
pub const RESULT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Keys that one run may plan or finish.
pub const RUN_STEPS_MAX: i64 = 100_000;
/// Values of one run together.
pub const RUN_BYTES_MAX: i64 = 1024 * 1024 * 1024;
/// Entries that stand in the invoke request itself; the rest come as pages.
pub const INLINE_BYTES_MAX: i32 = 192 * 1024;
/// A page of a journal, if it has more than one entry.
pub const JOURNAL_PAGE_BYTES_MAX: i32 = 1024 * 1024;
/// Leaves of an await tree.
pub const AWAIT_LEAVES_MAX: usize = 10_000;
/// Levels of `all` and `any` in an await tree.
pub const AWAIT_LEVELS_MAX: usize = 32;
/// A step's or run's error with its causes.
pub const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Levels of arrays and objects in an error, a schema or a match, which the database reads.
pub const ERROR_LEVELS_MAX: usize = 128;
/// Longest wait between two executions of a step: a year.
pub const STEP_RETRY_MS_MAX: i64 = 31_536_000_000;
/// Longest sleep or timeout of a step: 3,650 days.
pub const STEP_WAIT_MS_MAX: i64 = 315_360_000_000;
/// The last moment that a sleep may end, in milliseconds since 1970: the end of the year 9999.
pub const STEP_UNTIL_MS_MAX: i64 = 253_402_300_799_999;
/// Workflows, with their versions, that one app serves.
pub const WORKFLOWS_MAX: usize = 1_000;
/// Triggers of one workflow.
pub const TRIGGERS_MAX: usize = 20;
/// Paths of one match.
pub const MATCH_PATHS_MAX: usize = 10;
/// The values of one match together.
pub const MATCH_BYTES_MAX: usize = 16 * 1024;
/// A path into a start or an event, in characters.
pub const PATH_CHARS_MAX: usize = 200;
/// Longest debounce: 7 days.
pub const DEBOUNCE_SECONDS_MAX: i64 = 604_800;
/// Highest priority of a workflow's runs; the lowest is its negative.
pub const PRIORITY_MAX: i64 = 100;
/// The title of an approval, in characters.
pub const APPROVAL_TITLE_CHARS_MAX: usize = 500;
/// The schema, the detail and the policy of an approval, each.
pub const APPROVAL_BYTES_MAX: usize = 64 * 1024;
/// Longest wait between two dispatches that an endpoint does not take.
pub const DISPATCH_RETRY_MS_MAX: u64 = 300_000;
/// How much longer than its budget the engine waits for a reply.
pub const REPLY_GRACE_MS: u64 = 5_000;
/// Runs that one call of a bulk operation names.
pub const RUN_IDS_MAX: usize = RUN_BULK_MAX as usize;
/// Signals that a run has not read.
pub const SIGNALS_MAX: i64 = 10_000;
/// Values of the steps that a fork copies.
pub const FORK_BYTES_MAX: i64 = 128 * 1024 * 1024;
/// Runs that one call of a bulk operation changes.
pub const RUN_BULK_MAX: i32 = 500;
/// The input that a run is shown with; a larger one is left out.
pub const RUN_INPUT_SHOWN: i32 = 256 * 1024;
/// The value that a step is shown with in its run; a larger one is left out there.
pub const STEP_VALUE_SHOWN: i32 = 256 * 1024;
/// The value of a step: no larger one is recorded.
pub const STEP_VALUE_MAX: i32 = 4 * 1024 * 1024;
/// Values in one page of steps, when the first alone has no more.
pub const STEP_PAGE_BYTES: i64 = 1024 * 1024;
