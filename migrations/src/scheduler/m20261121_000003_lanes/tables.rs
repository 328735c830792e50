//! The tables as they are described once for either engine.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, double, integer, integer_null, json_binary_null, small_integer,
    string_len, string_len_null, text, timestamp_with_time_zone, timestamp_with_time_zone_null,
    uuid, uuid_null,
};

const NAME: u32 = 128;

pub fn tables() -> Vec<TableCreateStatement> {
    vec![
        job("job"),
        job_event(),
        attempt(),
        job_need(),
        job_group(),
        request_key(),
        lane(),
        queue(),
        tenant(),
        account(),
        duty(),
        pace(),
    ]
}

/// A job: columns for what queries ask, and the rest as one text of JSON.
pub fn job(name: &'static str) -> TableCreateStatement {
    Table::create()
        .table(name)
        .col(uuid("id").primary_key())
        .col(string_len("owner", NAME))
        .col(string_len("tenant", NAME))
        .col(string_len("model", NAME))
        .col(small_integer("class"))
        .col(uuid("lane"))
        .col(string_len("state", 20))
        .col(boolean("is_ready"))
        .col(timestamp_with_time_zone("ready_at"))
        .col(timestamp_with_time_zone("run_at"))
        .col(timestamp_with_time_zone_null("expire_at"))
        .col(timestamp_with_time_zone_null("purge_at"))
        .col(timestamp_with_time_zone_null("deadline"))
        .col(string_len_null("worker_id", NAME))
        .col(string_len_null("last_worker", NAME))
        .col(big_integer("lease"))
        .col(big_integer("seq"))
        .col(integer("attempt"))
        .col(integer("failed_attempts"))
        .col(uuid_null("group_id"))
        .col(integer_null("group_index"))
        .col(integer("unmet"))
        .col(big_integer("cost"))
        .col(big_integer("pixels"))
        .col(timestamp_with_time_zone("create_time"))
        .col(timestamp_with_time_zone_null("end_time"))
        .col(text("details"))
        .to_owned()
}

fn job_event() -> TableCreateStatement {
    Table::create()
        .table("job_event")
        .col(uuid("job_id"))
        .col(big_integer("seq"))
        .col(timestamp_with_time_zone("time"))
        .col(string_len("state", 20))
        .col(integer("attempt"))
        .col(text("details"))
        .primary_key(Index::create().col("job_id").col("seq"))
        .to_owned()
}

fn attempt() -> TableCreateStatement {
    Table::create()
        .table("attempt")
        .col(uuid("job_id"))
        .col(big_integer("lease"))
        .col(integer("attempt"))
        .col(string_len("worker_id", NAME))
        .col(timestamp_with_time_zone("start_time"))
        .col(timestamp_with_time_zone("end_time"))
        .col(string_len("outcome", 64))
        .col(text("message"))
        .col(integer("first_step"))
        .col(integer("last_step"))
        .col(big_integer("device_time"))
        .primary_key(Index::create().col("job_id").col("lease"))
        .to_owned()
}

fn job_need() -> TableCreateStatement {
    Table::create()
        .table("job_need")
        .col(uuid("needed"))
        .col(uuid("waiting"))
        .primary_key(Index::create().col("needed").col("waiting"))
        .to_owned()
}

fn job_group() -> TableCreateStatement {
    Table::create()
        .table("job_group")
        .col(uuid("id").primary_key())
        .col(string_len("owner", NAME))
        .col(string_len("kind", 20))
        .col(timestamp_with_time_zone("create_time"))
        .to_owned()
}

fn request_key() -> TableCreateStatement {
    Table::create()
        .table("request_key")
        .col(string_len("owner", NAME))
        .col(string_len("request", 192))
        .col(string_len("fingerprint", 64))
        .col(uuid("job_id"))
        .col(uuid_null("group_id"))
        .col(timestamp_with_time_zone_null("expires_at"))
        .primary_key(Index::create().col("owner").col("request"))
        .to_owned()
}

/// The queued jobs of one owner, of one model and class. Its id is made from these three.
fn lane() -> TableCreateStatement {
    Table::create()
        .table("lane")
        .col(uuid("id").primary_key())
        .col(string_len("model", NAME))
        .col(small_integer("class"))
        .col(string_len("owner", NAME))
        .col(string_len("tenant", NAME))
        .col(big_integer("vt"))
        .col(big_integer("finish"))
        .col(boolean("is_open"))
        .col(boolean("is_blocked"))
        .to_owned()
}

fn queue() -> TableCreateStatement {
    Table::create()
        .table("queue")
        .col(string_len("model", NAME))
        .col(small_integer("class"))
        .col(big_integer("vt"))
        .primary_key(Index::create().col("model").col("class"))
        .to_owned()
}

fn tenant() -> TableCreateStatement {
    Table::create()
        .table("tenant")
        .col(string_len("id", NAME).primary_key())
        .col(integer("weight"))
        .col(integer_null("max_running"))
        .col(integer_null("max_queued"))
        .to_owned()
}

fn account() -> TableCreateStatement {
    Table::create()
        .table("account")
        .col(string_len("owner", NAME).primary_key())
        .col(string_len("tenant", NAME))
        .col(integer_null("max_running"))
        .col(integer_null("max_active"))
        .to_owned()
}

fn duty() -> TableCreateStatement {
    Table::create()
        .table("duty")
        .col(string_len("name", 64).primary_key())
        .col(string_len("holder", NAME))
        .col(timestamp_with_time_zone("until"))
        .to_owned()
}

fn pace() -> TableCreateStatement {
    Table::create()
        .table("pace")
        .col(string_len("model", NAME).primary_key())
        .col(double("nanos_per_unit"))
        .col(big_integer("samples"))
        .to_owned()
}

pub fn worker_columns() -> Vec<ColumnDef> {
    vec![
        string_len("instance", NAME).default("").to_owned(),
        string_len("pool", NAME).default("").to_owned(),
        integer("protocol").default(1).to_owned(),
        boolean("cordoned").default(false).to_owned(),
        boolean("drain_ordered").default(false).to_owned(),
        boolean("attached").default(false).to_owned(),
        json_binary_null("resident_models"),
        big_integer("memory_total").default(0).to_owned(),
        big_integer("memory_free").default(0).to_owned(),
    ]
}

pub fn indices() -> Vec<IndexCreateStatement> {
    let index =
        |name: &str, table: &'static str| Index::create().name(name).table(table).to_owned();
    let is = |condition: &'static str| Expr::cust(condition);
    vec![
        // What may be leased, lane by lane in the order of submission.
        index("job_ready", "job")
            .col("lane")
            .col("id")
            .and_where(is("is_ready"))
            .to_owned(),
        index("job_due", "job")
            .col("run_at")
            .and_where(is("state = 'queued' AND NOT is_ready AND unmet = 0"))
            .to_owned(),
        index("job_queue", "job")
            .col("model")
            .col("class")
            .col("id")
            .and_where(is("state = 'queued'"))
            .to_owned(),
        index("job_tenant_queued", "job")
            .col("tenant")
            .and_where(is("state = 'queued'"))
            .to_owned(),
        // How many jobs of a tenant and of each of its owners run.
        index("job_party_running", "job")
            .col("tenant")
            .col("owner")
            .and_where(is("state = 'running'"))
            .to_owned(),
        index("job_worker_running", "job")
            .col("worker_id")
            .and_where(is("state = 'running'"))
            .to_owned(),
        index("job_deadline", "job")
            .col("deadline")
            .and_where(is("state = 'running'"))
            .to_owned(),
        index("job_expire", "job")
            .col("expire_at")
            .and_where(is("expire_at IS NOT NULL"))
            .to_owned(),
        index("job_owner", "job").col("owner").col("id").to_owned(),
        index("job_group_member", "job")
            .col("group_id")
            .and_where(is("group_id IS NOT NULL"))
            .to_owned(),
        index("finished_job_owner", "finished_job")
            .col("owner")
            .col("id")
            .to_owned(),
        index("finished_job_state", "finished_job")
            .col("owner")
            .col("state")
            .col("id")
            .to_owned(),
        index("finished_job_purge", "finished_job")
            .col("purge_at")
            .and_where(is("purge_at IS NOT NULL"))
            .to_owned(),
        index("finished_job_group", "finished_job")
            .col("group_id")
            .and_where(is("group_id IS NOT NULL"))
            .to_owned(),
        index("finished_job_dead", "finished_job")
            .col("id")
            .and_where(is("state = 'failed' AND attempt > 0"))
            .to_owned(),
        index("job_need_waiting", "job_need")
            .col("waiting")
            .to_owned(),
        index("request_key_job", "request_key")
            .col("job_id")
            .to_owned(),
        index("request_key_group", "request_key")
            .col("group_id")
            .and_where(is("group_id IS NOT NULL"))
            .to_owned(),
        index("request_key_expiry", "request_key")
            .col("expires_at")
            .and_where(is("expires_at IS NOT NULL"))
            .to_owned(),
        // Whose turn it is.
        index("lane_turn", "lane")
            .col("model")
            .col("class")
            .col("vt")
            .col("id")
            .and_where(is("is_open AND NOT is_blocked"))
            .to_owned(),
        index("lane_tenant", "lane")
            .col("tenant")
            .col("model")
            .col("class")
            .col("finish")
            .to_owned(),
        index("lane_tenant_blocked", "lane")
            .col("tenant")
            .col("vt")
            .and_where(is("is_blocked"))
            .to_owned(),
        index("lane_owner", "lane").col("owner").to_owned(),
    ]
}
