import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execFileSync } from 'node:child_process'

/**
 * What is wrong with the documents: a command that `package.json` does not have, a link or a path
 * that leads nowhere, a folder of a machine. One line each.
 */
export async function checkDocuments(): Promise<string[]> {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], {
    encoding: 'utf8',
  })
    .split('\n')
    .filter((file) => file !== '')
  const manifest: unknown = JSON.parse(await readFile('package.json', 'utf8'))
  const scripts = new Set(Object.keys((manifest as { scripts: object }).scripts))
  const problems = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(file, 'utf8')
      return [
        ...unknownCommands(text, scripts),
        ...deadLinks(text, dirname(file)),
        ...machinePaths(text),
      ].map((problem) => `${file}: ${problem}`)
    }),
  )
  return problems.flat()
}

function unknownCommands(text: string, scripts: ReadonlySet<string>): string[] {
  return [...text.matchAll(/\bnpm (run [\w:-]+|start|test)\b/g)]
    .map(([, name = '']) => name.replace(/^run /, ''))
    .filter((name) => !scripts.has(name))
    .map((name) => `there is no script "${name}"`)
}

function deadLinks(text: string, folder: string): string[] {
  return [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)\s#]+)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !existsSync(join(folder, target)))
    .map((target) => `the link to ${target} leads nowhere`)
}

function machinePaths(text: string): string[] {
  return [...text.matchAll(/(?:^|[\s"'`(])(\/(?:home|Users|root|work)\/[\w.-]+)/g)].map(
    ([, path]) => `${path} is a folder of somebody's machine`,
  )
}
