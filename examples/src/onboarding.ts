// Onboarding: begun by an event, it reminds a new user of the next thing to do, until the event says that it is done.

import { workflow } from "@tikku/sdk";
import { mail } from "./services.ts";

interface SignedUp {
  event: { id: string; name: string; data: { user: string; email: string } };
}

const TASKS = [
  { name: "profile", event: "profile.completed" },
  { name: "invite", event: "teammate.invited" },
] as const;

export const onboarding = workflow(
  { name: "onboarding", triggers: [{ event: "user.signed-up" }], singleton: { key: "input.event.data.user", mode: "skip" } },
  async (step, input: SignedUp) => {
    const { user, email } = input.event.data;
    await step.run("welcome", ({ key }) => mail(email, "welcome", key));
    const done: string[] = [];
    for (const task of TASKS) {
      for (let reminders = 0; reminders < 3; reminders++) {
        const event = await step.waitForEvent(task.event, { match: { "data.user": user }, timeout: "2d" });
        if (event) {
          done.push(task.name);
          break;
        }
        await step.run(`remind-${task.name}`, ({ key }) => mail(email, `${task.name}: it takes a minute`, key));
      }
    }
    return { user, done };
  },
);
