// Every measured figure by metric and system, one value per repetition; the median is what the tables show.
import { median } from './load.mjs';

export class Figures {
  values = {};
  notes = {};

  add(metric, system, value) {
    ((this.values[metric] ??= {})[system] ??= []).push(value);
  }

  /** Keeps something that explains a figure (the last repetition's statement counts, ...) for results/latest.json. */
  note(title, value) {
    this.notes[title] = value;
  }

  all(metric, system) {
    return this.values[metric]?.[system] ?? [];
  }

  last(metric, system) {
    return this.all(metric, system).at(-1);
  }

  /** The median over the repetitions, or undefined when the metric was not measured. */
  median(metric, system) {
    const values = this.all(metric, system);
    return values.length ? median(values) : undefined;
  }
}
