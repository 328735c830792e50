// What pages have in common.

export function check(condition, what) {
  if (!condition) throw new Error(typeof what === "string" ? what : JSON.stringify(what));
}

/** The error of something that has to fail. */
export async function refused(what, call) {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    return error;
  }
  throw new Error(`${what} was to be refused, and answered ${answer}`);
}

/** Waits for an event of this type, or for one of the others, and gives it. */
export function event(target, ...types) {
  return new Promise((resolve) => {
    for (const type of types) target.addEventListener(type, resolve, { once: true });
  });
}
