// Every page of the dashboard, with data in it: a name for screenshots, and its path in this world.

export const PLACES = {
  "overview": () => "/dashboard",
  "overview-day": () => "/dashboard?range=24h",
  "messages": () => "/dashboard/messages",
  "messages-filtered": () => "/dashboard/messages?status=delivered&label=orders&range=custom&from=2020-01-01T00:00&to=2099-01-01T00:00",
  "messages-none": () => "/dashboard/messages?label=nobody",
  "message-delivered": (w) => `/dashboard/messages/${w.delivered}`,
  "message-failed": (w) => `/dashboard/messages/${w.failed}`,
  "message-retrying": (w) => `/dashboard/messages/${w.retrying}`,
  "message-scheduled": (w) => `/dashboard/messages/${w.scheduled}`,
  "message-cancel": (w) => `/dashboard/messages/${w.scheduled}/cancel`,
  "message-resend": (w) => `/dashboard/messages/${w.delivered}/resend`,
  "dlq": () => "/dashboard/dlq",
  "dlq-none": () => "/dashboard/dlq?label=nobody",
  "fanouts": () => "/dashboard/fanouts",
  "fanout": () => "/dashboard/fanouts/orders",
  "fanout-new": () => "/dashboard/fanouts/new",
  "fanout-delete": () => "/dashboard/fanouts/orders/delete",
  "endpoint-new": () => "/dashboard/fanouts/orders/endpoints/new",
  "endpoint-edit": async (w) => `/dashboard/fanouts/orders/endpoints/${(await w.api.get("/v1/fanouts/orders")).endpoints[1].id}/edit`,
  "schedules": () => "/dashboard/schedules",
  "schedule": async (w) => `/dashboard/schedules/${(await nightly(w)).id}`,
  "schedule-new": () => "/dashboard/schedules/new",
  "schedule-edit": async (w) => `/dashboard/schedules/${(await nightly(w)).id}/edit`,
  "flows": () => "/dashboard/flows",
  "flow-new": () => "/dashboard/flows/new",
  "flow-pin": () => "/dashboard/flows/crm/pin",
  "workflows": () => "/dashboard/workflows",
  "workflows-edit": () => "/dashboard/workflows?edit=shop",
  "app-delete": () => "/dashboard/apps/shop/delete",
  "run-start": () => "/dashboard/workflows/order/start",
  "runs": () => "/dashboard/runs",
  "runs-failed": () => "/dashboard/runs?status=failed",
  "run-waiting": (w) => `/dashboard/runs/${w.order}`,
  "run-approval": (w) => `/dashboard/runs/${w.approval}`,
  "run-failed": (w) => `/dashboard/runs/${w.broken}`,
  "run-ai": (w) => `/dashboard/runs/${w.story}`,
  "run-cancel": (w) => `/dashboard/runs/${w.order}/cancel`,
  "run-fork": (w) => `/dashboard/runs/${w.order}/fork`,
  "run-diff": (w) => `/dashboard/runs/diff?a=${w.order}&b=${w.order2}`,
  "approvals": () => "/dashboard/approvals",
  "approvals-all": () => "/dashboard/approvals?status=all",
  "events": () => "/dashboard/events",
  "send": () => "/dashboard/send",
  "keys": () => "/dashboard/keys",
  "secrets": () => "/dashboard/secrets",
  "secret-rotate": () => "/dashboard/secrets/rotate",
};

/** Pages that a session of that role is refused, or whose whole purpose is an action. */
export const ADMINS = ["secret-rotate", "flow-new", "flow-pin", "app-delete"];

async function nightly(world) {
  return (await world.api.get("/v1/schedules")).data.find(({ name }) => name === "nightly report");
}
