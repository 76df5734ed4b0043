/** Parts that the pages have in common. */
import { cloneElement, type ComponentChildren, type VNode } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";

import { text } from "./strings.js";

/** A mark and a word for a status. The mark never stands alone, and neither does the colour. */
const SIGNS: Record<string, string> = { valid: "✓", expiring: "!", refreshable: "↻", unknown: "?" };

/** The class of a status: its colour. */
export const kindOf = (status: string): string =>
  status === "valid" || status === "refreshable" ? "good" : status === "unknown" ? "dim" : status === "expiring" ? "near" : "bad";

export function Mark({ status }: { status: string }) {
  return (
    <span class={`mark ${kindOf(status)}`}>
      <span aria-hidden="true">{SIGNS[status] ?? "✗"}</span> {text.marks[status] ?? status}
    </span>
  );
}

export function Failure({ error }: { error: Error | undefined }) {
  if (!error) return null;
  const hint = (error as { hint?: string }).hint;
  return (
    <p class="failure" role="alert">
      {error.message}
      {hint && <span class="hint"> {hint}</span>}
    </p>
  );
}

/** A modal dialog. The focus begins at its first field, or at its safest button. Escape and its button close it, and the focus returns to the element that had it before. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    element?.querySelector<HTMLElement>("input:enabled, select, .primary, .row.end > button")?.focus();
    // Only an open dialog that is closed, not one that is removed, gives the focus back.
    return () => element?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onCancel={(event) => (event.preventDefault(), close())}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="plain" aria-label={text.close} onClick={close}>
          ×
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** A question before something that cannot be undone. */
export function Confirm({ question, yes, no }: { question: string; yes: () => void; no: () => void }) {
  return (
    <Dialog title={question} close={no}>
      <div class="row end">
        <button type="button" onClick={no}>
          {text.confirm.no}
        </button>
        <button type="button" class="danger" onClick={yes}>
          {text.confirm.yes}
        </button>
      </div>
    </Dialog>
  );
}

/** A button that copies a text. `of` tells it from others of the same label. */
export function Copy({ value, label, of }: { value: string; label: string; of?: string }) {
  const [outcome, setOutcome] = useState<string>();
  const copy = () =>
    navigator.clipboard.writeText(value).then(
      () => setOutcome(text.copied),
      () => setOutcome(text.notCopied),
    );
  return (
    <button type="button" class="copy" onClick={copy} aria-label={of && !outcome ? `${label}: ${of}` : undefined}>
      <span aria-live="polite">{outcome ?? label}</span>
    </button>
  );
}

/** A labelled input. The help describes the input and is not part of its name. */
export function Field({ label, help, children }: { label: string; help?: string; children: VNode<{ id?: string; "aria-describedby"?: string }> }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {cloneElement(children, { id, ...(help && { "aria-describedby": `${id}-help` }) })}
      {help && <small id={`${id}-help`}>{help}</small>}
    </div>
  );
}

export function Check({ label, checked, change, disabled }: { label: string; checked: boolean; change: (checked: boolean) => void; disabled?: boolean }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} disabled={disabled} onChange={(event) => change(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

export function Choices({ legend, value, choices, change, disabled }: {
  legend: string;
  value: string;
  choices: Record<string, string>;
  change: (value: string) => void;
  disabled?: boolean;
}) {
  const name = useId();
  return (
    <fieldset disabled={disabled}>
      <legend>{legend}</legend>
      {Object.entries(choices).map(([key, label]) => (
        <label class="check" key={key}>
          <input type="radio" name={name} checked={value === key} onChange={() => change(key)} />
          <span>{label}</span>
        </label>
      ))}
    </fieldset>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}
