/**
 * Loads a package that only `e2e/node_modules` has. Its types are written down by the caller, because
 * the type check of the repository runs without these packages.
 */
export async function loadPeer<Module>(specifier: string): Promise<Module> {
  return (await import(specifier)) as Module
}
