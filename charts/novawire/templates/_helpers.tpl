{{/* The tag of the release: image.tag, else the appVersion with a v. */}}
{{- define "novawire.tag" -}}
{{- .Values.image.tag | default (printf "v%s" (trimPrefix "v" .Chart.AppVersion)) -}}
{{- end -}}

{{/* image (list $ IMAGE): the reference of one image of the product. A digest wins over the tag. */}}
{{- define "novawire.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $name := printf "%s/%s" (trimSuffix "/" $root.Values.image.registry) $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default (include "novawire.tag" $root)) -}}
{{- end -}}
{{- end -}}

{{/* imageSet IMAGE REPOSITORY: whether an image differs from what the manager uses by itself. */}}
{{- define "novawire.imageSet" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if or $image.tag $image.digest (ne $image.repository (index . 2)) $root.Values.manager.image.tag $root.Values.manager.image.digest -}}
true
{{- end -}}
{{- end -}}

{{- define "novawire.labels" -}}
app.kubernetes.io/part-of: novawire
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* config: the manager's configuration file. */}}
{{- define "novawire.config" -}}
{{- $config := dict "apiVersion" "config.nova.dev/v1alpha1" "kind" "ManagerConfiguration" -}}
{{- $config = mergeOverwrite $config (deepCopy .Values.config) -}}
{{- if include "novawire.imageSet" (list . .Values.sidecar.image "novawire-sidecar") -}}
{{- $config = mergeOverwrite (dict "injection" (dict "sidecar" (dict "image" (include "novawire.image" (list . .Values.sidecar.image))))) $config -}}
{{- end -}}
{{- if and .Values.backup.enabled (include "novawire.imageSet" (list . .Values.backup.image "pg-backup")) -}}
{{- $config = mergeOverwrite (dict "backup" (dict "image" (include "novawire.image" (list . .Values.backup.image)))) $config -}}
{{- end -}}
{{- if ne .Values.image.pullPolicy "IfNotPresent" -}}
{{- $config = mergeOverwrite (dict "injection" (dict "sidecar" (dict "imagePullPolicy" .Values.image.pullPolicy)) "backup" (dict "imagePullPolicy" .Values.image.pullPolicy)) $config -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* namespace (list $ NAMESPACE): where objects go that manifests have in NAMESPACE. */}}
{{- define "novawire.namespace" -}}
{{- $root := index . 0 -}}
{{- if eq (index . 1) "novawire-logging" -}}{{- $root.Values.logging.namespace -}}{{- else if eq (index . 1) "novawire-probe" -}}novawire-probe{{- else -}}{{- $root.Release.Namespace -}}{{- end -}}
{{- end -}}

{{/*
objects (list $ FILE…): the objects of manifests that kustomize uses too, in the
release's namespaces and with its labels. The files are copies of manifests.
*/}}
{{- define "novawire.objects" -}}
{{- $root := index . 0 -}}
{{- range $file := slice . 1 -}}
{{- range $document := splitList "\n---\n" ($root.Files.Get (printf "files/%s" $file)) -}}
{{- $object := fromYaml $document -}}
{{- if $object.Error -}}{{- fail (printf "%s: %s" $file $object.Error) -}}{{- end -}}
{{- with $object.metadata.namespace -}}{{- $_ := set $object.metadata "namespace" (include "novawire.namespace" (list $root .)) -}}{{- end -}}
{{- $_ := set $object.metadata "labels" (mergeOverwrite (fromYaml (include "novawire.labels" $root)) ($object.metadata.labels | default dict)) -}}
{{- range $object.subjects -}}{{- $_ := set . "namespace" (include "novawire.namespace" (list $root .namespace)) -}}{{- end }}
---
{{ toYaml $object | replace "system:serviceaccount:novawire-system:" (printf "system:serviceaccount:%s:" $root.Release.Namespace) }}
{{- end -}}
{{- end -}}
{{- end -}}
