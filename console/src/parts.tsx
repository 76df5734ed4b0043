/** Parts that the pages have in common. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import { text } from "./strings.js";

/** A mark and a word for a status. The mark never stands alone, and neither does the colour. */
const SIGNS: Record<string, string> = { valid: "✓", expiring: "!", refreshable: "↻", unknown: "?" };

export function Mark({ status }: { status: string }) {
  const kind = status === "valid" || status === "refreshable" ? "good" : status === "unknown" ? "dim" : status === "expiring" ? "near" : "bad";
  return (
    <span class={`mark ${kind}`}>
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

/** A modal dialog. Escape and its button close it, and the focus returns to where it was. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onCancel={(event) => (event.preventDefault(), close())}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="plain" aria-label="Close" onClick={close}>
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

export function Copy({ value, label }: { value: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
  };
  return (
    <button type="button" onClick={copy}>
      {copied ? text.login.copied : label}
    </button>
  );
}

export function Field({ label, help, children }: { label: string; help?: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
      {help && <small>{help}</small>}
    </label>
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
