// What is remembered from visit to visit. A browser may refuse to keep anything; then each visit is the first.

const PREFIX = "hullo.chat.";

export const forever = shelf(() => localStorage);
export const tab = shelf(() => sessionStorage);

function shelf(storage) {
  return {
    /** What was put there under that name, or the other value. */
    get(name, otherwise) {
      try {
        return JSON.parse(storage().getItem(PREFIX + name)) ?? otherwise;
      } catch {
        return otherwise;
      }
    },
    put(name, value) {
      try {
        storage().setItem(PREFIX + name, JSON.stringify(value));
      } catch {
        // Full or forbidden: see above.
      }
    },
  };
}
